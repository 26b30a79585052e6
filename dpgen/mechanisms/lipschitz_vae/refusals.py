"""What the sampling refuses on construction: before anything is planned, charged or read."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dpgen import validate
from dpgen.errors import InvalidValue, PrivacyError, SensitivityError
from dpgen.mechanisms.lipschitz import LipschitzCertificate
from dpgen.mechanisms.lipschitz_vae.provenance import Provenance

if TYPE_CHECKING:
    from dpgen.mechanisms.lipschitz_vae.sampling import LipschitzVaeSampling


def check_sampling(sampling: LipschitzVaeSampling) -> None:
    """Refuse settings under which a theorem would not hold.

    Raises: `PrivacyError` for weights without protection; `SensitivityError` for a missing clip, a deviation that is
    no public number, an estimate in place of a certificate, a credit that theorem C does not allow; `InvalidValue`.
    """
    validate.count(1, dimension=sampling.dimension)
    if not sampling.phase:
        raise InvalidValue("phase must be a name such as 'posterior samples'; found ''.")
    _check_weights(sampling)
    _check_noise(sampling)
    _check_counts(sampling)
    if sampling.encoder_certificate is not None:
        require_certificate(sampling.encoder_certificate, sampling.encoder, "encoder")
    _check_output(sampling)


def _check_weights(sampling: LipschitzVaeSampling) -> None:
    for part, weights in (("encoder", sampling.weights), ("decoder", sampling.decoder_weights)):
        if weights is None:
            continue
        if not isinstance(weights, Provenance):
            raise PrivacyError(
                f"the weights of the {part} need a Provenance; found {type(weights).__name__}. Say where they are from."
            )
        weights.require_protected(part)
    if (sampling.encoder is None) != (sampling.mode == "prior"):
        raise InvalidValue(f"mode {sampling.mode!s} takes {'no' if sampling.mode == 'prior' else 'an'} encoder.")


def _check_noise(sampling: LipschitzVaeSampling) -> None:
    for name in ("clip_radius", "deviation", "output_deviation"):
        value: Any = getattr(sampling, name)
        if isinstance(value, bool) or not isinstance(value, Real):
            raise SensitivityError(
                f"{name} must be one public number, the same for every record; found {type(value).__name__}. Noise "
                "that a record sets tells of it: its law is not that of Gaussian noise of the least deviation."
            )
    if not (math.isfinite(sampling.clip_radius) and sampling.clip_radius > 0):
        raise SensitivityError(
            f"codes must be clipped: clip_radius must be finite and > 0; found {sampling.clip_radius!r}. No "
            "certificate takes the clip's place, because a network strays from its certificate by rounding."
        )
    validate.not_negative(deviation=sampling.deviation, output_deviation=sampling.output_deviation)
    if sampling.deviation == 0 and sampling.output_deviation == 0 and sampling.mode != "prior":
        raise InvalidValue("deviation must be > 0; found 0. Without noise every code is released as it is.")


def _check_counts(sampling: LipschitzVaeSampling) -> None:
    if sampling.mode == "record":
        unwanted = [name for name in ("draws", "minimum_records", "classes") if getattr(sampling, name) is not None]
        if unwanted:
            raise InvalidValue(f"mode record draws once from each record; found {unwanted[0]}. Leave it out.")
        return
    validate.count(0, draws=sampling.draws)
    if sampling.mode == "prior":
        return
    if sampling.minimum_records is None:
        raise PrivacyError(
            "mode aggregate is priced by the least number of records, which the owner must promise, or of places that "
            "are filled; found None. Declare `minimum_records`; it is never read off the records."
        )
    validate.count(1, minimum_records=sampling.minimum_records)
    if sampling.classes is not None:
        validate.count(1, classes=sampling.classes)


def _check_output(sampling: LipschitzVaeSampling) -> None:
    given = (sampling.decoder, sampling.decoder_weights, sampling.decoder_certificate)
    if sampling.output_deviation == 0:
        if any(part is not None for part in given):
            raise SensitivityError(
                "a decoder's Lipschitz constant counts only where its output gets noise and the code is withheld; "
                "found a decoder with output_deviation 0. Decode the released codes yourself, which is free."
            )
        return
    if any(part is None for part in given) or sampling.mode == "prior":
        raise SensitivityError(
            "noise on the output counts only together with a decoder, its provenance, a certificate of it and codes of "
            "records; found one of them missing. Leave output_deviation at 0 to release codes."
        )
    certificate = require_certificate(sampling.decoder_certificate, sampling.decoder, "decoder")
    if certificate.input_shape != (sampling.dimension,):
        raise SensitivityError(
            f"the decoder must be certified for codes [{sampling.dimension}]; found {certificate.input_shape}."
        )


def require_certificate(certificate: object, module: nn.Module | None, part: str) -> LipschitzCertificate:
    """`certificate`, if it is one of `module` as it is now, and the module computes as it was certified.

    Raises: `SensitivityError` otherwise.
    """
    if not isinstance(certificate, LipschitzCertificate) or module is None:
        raise SensitivityError(
            f"the Lipschitz constant of the {part} must be certified; found {type(certificate).__name__}. A gradient "
            "penalty or a power iteration estimates it from below. Call `certify`, or rely on the clip alone."
        )
    certificate.require_valid(module)
    floats = (t for t in module.state_dict().values() if t.is_floating_point())
    if any(t.dtype not in (torch.float32, torch.float64) for t in floats) or torch.is_autocast_enabled("cpu"):
        raise SensitivityError(
            f"a certified {part} is computed in float64; found half precision or autocast. Keep its weights in float32."
        )
    return certificate
