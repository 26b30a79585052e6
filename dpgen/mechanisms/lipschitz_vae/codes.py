"""Private codes: of every record, and of the record that each draw chose. Nothing here is released."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from dpgen.errors import DataError, SensitivityError
from dpgen.mechanisms.base import Ids, Records
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.discreet import discreet
from dpgen.mechanisms.dp_sgd.independence import refuse_dependence
from dpgen.mechanisms.lipschitz import project_onto_ball
from dpgen.noise import NO_RECORD, NoiseSource

if TYPE_CHECKING:
    from dpgen.mechanisms.lipschitz_vae.sampling import LipschitzVaeSampling


def clipped_codes(sampling: LipschitzVaeSampling, records: Records, context: RunContext) -> tuple[Tensor, Tensor]:
    """The code of every record, in the order of their ids: `[n, dimension]` float64 on the CPU; and labels `[n]`.

    With a certificate the encoder computes in float64, which the certificate's execution error speaks of.
    Raises: `SensitivityError` for images of another shape than is certified, before any record is read; `DataError`.
    """
    assert sampling.encoder is not None
    encoder = copy.deepcopy(sampling.encoder).eval()
    dtype = torch.float32 if sampling.encoder_certificate is None else torch.float64
    encoder = encoder.to(context.device, dtype)
    _rehearse(encoder, sampling, records, context, dtype)
    codes = torch.zeros(len(records.ids), sampling.dimension, dtype=torch.float64)
    labels = torch.zeros(len(records.ids), dtype=torch.int64)
    for first in range(0, len(records.ids), context.physical_batch):
        rows = slice(first, first + context.physical_batch)
        images, labels[rows] = records.batch(records.ids[rows])
        codes[rows] = _encoded(encoder, images.to(context.device, dtype), sampling)
    return codes, labels


def _rehearse(
    encoder: nn.Module, sampling: LipschitzVaeSampling, records: Records, context: RunContext, dtype: torch.dtype
) -> None:
    """Refuse an encoder that mixes records, on made-up images; the image shape is public, and no record is read."""
    nothing, _ = records.batch(np.empty(0, dtype=np.int64))
    shape, certificate = tuple(nothing.shape[1:]), sampling.encoder_certificate
    if certificate is not None and certificate.input_shape != shape:
        raise SensitivityError(
            f"the encoder is certified for images {list(certificate.input_shape)}; found {list(shape)}. A constant and "
            "its rounding hold for one shape: certify the encoder for that of the records."
        )
    generator = context.generator(f"rehearsal of {sampling.phase}")
    made_up = [torch.rand(3, *shape, generator=generator).to(context.device, dtype) for _ in range(2)]
    refuse_dependence(lambda images: _encoded(encoder, images, sampling), *made_up)


def _encoded(encoder: nn.Module, images: Tensor, sampling: LipschitzVaeSampling) -> Tensor:
    with torch.no_grad(), discreet("encoder"):
        codes = encoder(images).to("cpu", torch.float64)
    if codes.shape != (len(images), sampling.dimension):
        raise DataError(
            f"codes must be [records, {sampling.dimension}]; found [..., {list(codes.shape)[1:]}]. "
            "Give one code per record and declare its `dimension`."
        )
    return project_onto_ball(codes, sampling.clip_radius)


def posterior_means(
    sampling: LipschitzVaeSampling, codes: Tensor, labels: Tensor, ids: Ids, noise: NoiseSource
) -> Tensor:
    """The code of the record that each draw chose: `[draws, classes or 1, dimension]`; 0 where a place was filled."""
    if sampling.classes is None:
        groups = [ids]
    else:
        if bool(((labels < 0) | (labels >= sampling.classes)).any()):
            raise DataError(
                f"labels must lie in [0, {sampling.classes}); found one outside. Check the declared classes."
            )
        groups = [ids[(labels == label).numpy()] for label in range(sampling.classes)]
    assert sampling.draws is not None
    assert sampling.minimum_records is not None
    chosen = [
        _codes_of(noise.choose(group, draws=sampling.draws, least=sampling.minimum_records, step=label), ids, codes)
        for label, group in enumerate(groups)
    ]
    return torch.stack(chosen, dim=1)


def _codes_of(chosen: Ids, ids: Ids, codes: Tensor) -> Tensor:
    filled = torch.cat((codes, torch.zeros(1, codes.shape[1], dtype=codes.dtype)))
    rows = np.where(chosen == NO_RECORD, len(ids), np.searchsorted(ids, chosen))  # ids ascend
    return filled[torch.from_numpy(rows)]
