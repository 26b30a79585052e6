"""A diffusion model that can be sampled: the network, its sampler, and the classes it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dpgen.data.datasets import SyntheticDataset
from dpgen.data.info import DatasetInfo
from dpgen.errors import InvalidValue
from dpgen.generators.from_noise import wanted_labels
from dpgen.generators.samplers import Churn, ImageRandom, noise_levels, sample_ddim, sample_heun
from dpgen.mechanisms.context import Progress, RunContext, SilentProgress
from dpgen.networks.diffusion_network import DiffusionNetwork
from dpgen.networks.unet import UNet
from dpgen_plugins.diffusion.diffusers_unet import DiffusersUNet
from dpgen_plugins.diffusion.edm import clamped_denoiser
from dpgen_plugins.diffusion.prediction import Prediction, prediction
from dpgen_plugins.diffusion.settings import NetworkSettings, SamplerSettings
from dpgen_plugins.diffusion.space import PIXELS, Space

_SPACE = "space."
"""Prefix of the space's weights among those of a model."""


def fresh_network(
    settings: NetworkSettings, info: DatasetInfo, *, seed: int, classes: int | None = None, space: Space = PIXELS
) -> DiffusionNetwork:
    """A network with public initial weights drawn from `seed`, for the private classes or another number of them.

    Raises: `InvalidValue` when the side of a code does not divide as often as the network halves it.
    """
    channels, height, width = space.code_shape(info.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _untrained(settings, channels=channels, classes=classes or info.classes)
    if height % network.multiple or width % network.multiple:
        raise InvalidValue(
            f"this network needs sides that divide by {network.multiple}; found {height} x "
            f"{width}. Change `data.size`, or use fewer `network.multipliers` or a smaller `network.patch`."
        )
    return network


def _untrained(settings: NetworkSettings, *, channels: int, classes: int) -> DiffusionNetwork:
    if settings.kind == "diffusers":
        return DiffusersUNet(settings, channels=channels, classes=classes)
    sizes = settings.model_dump(exclude={"kind", "diffusers"})
    return UNet(channels=channels, classes=classes, **sizes)


@dataclass(frozen=True)
class DiffusionModel:
    """A fitted network and how to draw from it. Drawing is post-processing: free, any number of times."""

    network: nn.Module
    info: DatasetInfo
    sampler: SamplerSettings
    space: Space = PIXELS
    predict: Prediction | None = None
    """How the network is computed; None is the network as it is."""

    def to(self, device: torch.device) -> DiffusionModel:
        """The same model, moved to `device`."""
        self.network.to(device)
        self.space.to(device)
        return self

    def computed(self, context: RunContext) -> DiffusionModel:
        """The same model on `context.device`, computed as `context.compute` says: other images by rounding alone."""
        self.to(context.device)
        return replace(self, predict=prediction(self.network, context.compute, context.device))

    def state_dict(self) -> dict[str, Tensor]:
        """The weights of the network, and those of its space under `space.`."""
        return self.network.state_dict() | {_SPACE + name: t for name, t in self.space.state_dict().items()}

    def sample(
        self, count: int, *, labels: Tensor | None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`. An image depends on `seed`, its place and its label alone, not on `sampler.batch`."""
        labels = wanted_labels(count, labels, self.info)
        device = next(self.network.parameters()).device
        images = torch.empty((count, *self.info.shape))
        self.network.eval()
        with (progress or SilentProgress()).track("sample", count) as advance, torch.inference_mode():
            for start in range(0, count, self.sampler.batch):
                rows = range(start, min(start + self.sampler.batch, count))
                drawn = self._draw(labels[rows.start : rows.stop].to(device), ImageRandom(seed, rows, device))
                images[rows.start : rows.stop] = drawn.cpu()
                advance(len(rows))
        return SyntheticDataset(images, labels, self.info.class_names)

    def _draw(self, labels: Tensor, random: ImageRandom) -> Tensor:
        settings = self.sampler
        levels = noise_levels(settings.steps, lowest=settings.lowest, highest=settings.highest, rho=settings.rho)
        noise = random.normal(*self.space.code_shape(self.info.shape))
        denoiser = clamped_denoiser(self.predict or self.network)
        if settings.method == "ddim":
            codes = sample_ddim(denoiser, noise, labels, levels=levels)
        else:
            churn = Churn(amount=settings.churn, lowest=settings.churn_lowest)
            codes = sample_heun(denoiser, noise, labels, levels=levels, churn=churn, random=random)
        return self.space.decode(codes)


def require_fitted(model: DiffusionModel | None) -> DiffusionModel:
    """The model, or `InvalidValue` where nothing was fitted or loaded yet."""
    if model is None:
        raise InvalidValue("expected a fitted generator; found a fresh one. Call `fit` or `load_state_dict` first.")
    return model


def load_model(
    state: Mapping[str, Tensor],
    info: DatasetInfo,
    network: NetworkSettings,
    sampler: SamplerSettings,
    space: Space = PIXELS,
) -> DiffusionModel:
    """The model whose weights are `state`; those of `space` are taken over where `state` has them."""
    own = {name.removeprefix(_SPACE): t for name, t in state.items() if name.startswith(_SPACE)}
    if own:
        space.load_state_dict(own)
    unet = fresh_network(network, info, seed=0, space=space)
    unet.load_state_dict({name: t for name, t in state.items() if not name.startswith(_SPACE)})
    return DiffusionModel(unet, info, sampler, space)
