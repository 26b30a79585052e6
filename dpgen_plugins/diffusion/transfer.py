"""Pretraining on a whole public set and handing the network over to the private classes: free, all of it is public."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.errors import InvalidValue
from dpgen.generators.base import GeneratorConfig, PublicInfo, Task
from dpgen.mechanisms.context import RunContext
from dpgen.networks.unet import UNet
from dpgen_plugins.diffusion.autoencoder import SpaceName
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.pretrain import pretrain
from dpgen_plugins.diffusion.settings import (
    AutoencoderSettings,
    FinetuneSettings,
    LabelSettings,
    NetworkSettings,
    NoiseLevelSettings,
    PretrainSettings,
    SamplerSettings,
)
from dpgen_plugins.diffusion.space import PIXELS, Space


class TransferConfig(GeneratorConfig):
    """Settings that all methods share which pretrain on a whole public set."""

    network: NetworkSettings = Field(default_factory=NetworkSettings)
    noise_levels: NoiseLevelSettings = Field(default_factory=NoiseLevelSettings)
    labels: LabelSettings = Field(default_factory=LabelSettings)
    pretrain: PretrainSettings = Field(default_factory=PretrainSettings)
    finetune: FinetuneSettings = Field(default_factory=FinetuneSettings)
    sampler: SamplerSettings = Field(default_factory=SamplerSettings)


class LatentConfig(TransferConfig):
    """Those of the methods that work in pixels or in the codes of an autoencoder."""

    space: SpaceName = "pixel"
    autoencoder: AutoencoderSettings = Field(default_factory=AutoencoderSettings)


def require_public(public: PublicDataset | None, *, method: str) -> PublicDataset:
    """The public set. Raises: `InvalidValue` when there is none."""
    if public is None:
        raise InvalidValue(f"{method} needs a public data set; found none. Set `data.public`, or use `dpdm`.")
    return public


def require_public_info(task: Task, *, method: str) -> PublicInfo:
    """What is known of the public set. Raises: `InvalidValue` when there is none, or its images do not fit."""
    if task.public_info is None:
        raise InvalidValue(f"{method} needs a public data set; found none. Set `data.public`, or use `dpdm`.")
    if task.public_info.shape != task.info.shape:
        raise InvalidValue(
            f"public images must have the private shape {tuple(task.info.shape)}; found "
            f"{tuple(task.public_info.shape)}. Load both with the same `data.size` and `data.channels`."
        )
    return task.public_info


def pretraining_note(public: PublicInfo, labels: LabelSettings) -> str:
    """For a plan: what is free."""
    classes = len(public.class_names) if labels.conditional else 1
    return f"pretraining sees {public.name!r} alone ({classes} classes as labels): it costs no privacy"


def pretrained_network(
    public: PublicDataset, info: DatasetInfo, config: TransferConfig, context: RunContext, space: Space = PIXELS
) -> UNet:
    """A network trained on all public images, ready for the private classes.

    A finished pretraining is kept for a resumed run. Costs no privacy.
    """
    names = public.class_names if config.labels.conditional else ("any",)
    labels = public.labels if config.labels.conditional else torch.zeros_like(public.labels)
    network = fresh_network(config.network, info, seed=context.seed, classes=len(names), space=space)
    pretrained = context.once(
        "pretrain",
        lambda: pretrain(
            network,
            public.images,
            labels,
            settings=config.pretrain,
            noise_levels=config.noise_levels,
            context=context,
            space=space,
        ),
    )
    pretrained["class_table.weight"] = starting_table(
        pretrained["class_table.weight"], names, info.class_names, start=config.labels.start
    )
    ready = fresh_network(config.network, info, seed=context.seed, space=space)
    ready.load_state_dict(pretrained)
    return ready


def starting_table(table: Tensor, public: tuple[str, ...], private: tuple[str, ...], *, start: str) -> Tensor:
    """The class table that fine-tuning starts from.

    Class names are public facts, declared by the owner. The row of "no class" is kept.
    Args: `table` `[public classes + 1, width]`; `start` as `LabelSettings.start`.
    Returns: `[private classes + 1, width]`.
    """
    classes, no_class = table[:-1], table[-1]
    mean = classes.mean(0)
    match start:
        case "first":
            rows = [classes[index % len(classes)] for index in range(len(private))]
        case "names":
            rows = [classes[public.index(name)] if name in public else mean for name in private]
        case _:
            rows = [mean] * len(private)
    return torch.stack([*rows, no_class])
