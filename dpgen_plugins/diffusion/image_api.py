"""A diffusion network trained on public images alone, as a source of images for evolution."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.generators.image_api import ImageApi
from dpgen.generators.samplers import noise_levels, sample_heun
from dpgen.mechanisms.context import RunContext
from dpgen_plugins.diffusion.edm import clamped_denoiser
from dpgen_plugins.diffusion.model import DiffusionModel
from dpgen_plugins.diffusion.transfer import TransferConfig, pretrained_network

_ONE_CLASS = ("any",)


def diffusion_api(config: TransferConfig, public: PublicDataset, context: RunContext) -> ImageApi:
    """See `OffersImageApi.image_api`. Trained in pixels without labels, or taken from `pretrain.checkpoint`.

    A checkpoint must have been made with `labels.conditional = false`: nobody knows the public class of an image that
    is to be varied.
    """
    config = config.model_copy(update={"labels": config.labels.model_copy(update={"conditional": False})})
    info = DatasetInfo(public.shape, _ONE_CLASS, nominal_records=len(public))
    network = pretrained_network(public, info, config, context)
    return DiffusionApi(DiffusionModel(network, info, config.sampler).to(context.device))


@final
class DiffusionApi(ImageApi):
    """Random: the whole sampler. Vary: noise up to a level of the sampler's, and from there down again.

    Degree 1 starts at the highest level, degree 0 at the lowest. Random images know no class names.
    Source: Meng et al. 2022 (SDEdit, arXiv 2108.01073), as in Private Evolution (Lin et al. 2024, arXiv 2305.15560).
    """

    def __init__(self, model: DiffusionModel) -> None:
        self._model = model

    def random(self, count: int, *, class_name: str | None, generator: torch.Generator) -> Tensor:
        """See `ImageApi.random`."""
        seed = int(torch.randint(2**62, (), generator=generator))
        return self._model.sample(count, labels=None, seed=seed).images

    def vary(self, images: Tensor, *, degree: float, generator: torch.Generator) -> Tensor:
        """See `ImageApi.vary`."""
        self._model.network.eval()
        with torch.inference_mode():
            parts = [self._varied(part, degree, generator) for part in torch.split(images, self._model.sampler.batch)]
        return torch.cat(parts).clone()

    def _varied(self, images: Tensor, degree: float, generator: torch.Generator) -> Tensor:
        settings, space = self._model.sampler, self._model.space
        device = next(self._model.network.parameters()).device
        levels = noise_levels(settings.steps, lowest=settings.lowest, highest=settings.highest, rho=settings.rho)
        rest = levels[round((1 - degree) * (settings.steps - 1)) :]
        codes = space.encode(images.to(device))
        noise = torch.randn(codes.shape, generator=generator).to(device)
        start = codes / float(rest[0]) + noise  # the sampler multiplies by the level
        labels = torch.zeros(len(images), dtype=torch.int64, device=device)
        return space.decode(sample_heun(clamped_denoiser(self._model.network), start, labels, levels=rest)).cpu()
