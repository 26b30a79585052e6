"""Pretraining on a whole public set and handing the network over to the private classes: free, all of it is public."""

from __future__ import annotations

import json

import torch
from pydantic import Field
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import ConfigError, InvalidValue
from dpgen.generators.base import PublicInfo, Task
from dpgen.generators.pretrained import Manifest, Pretrained
from dpgen.generators.training.settings import PretrainSettings
from dpgen.mechanisms.context import RunContext
from dpgen.networks.diffusion_network import DiffusionNetwork
from dpgen_plugins.diffusion.autoencoder import (
    SpaceName,
    fresh_space,
    pretrained_autoencoder,
    public_space,
    reused_space,
)
from dpgen_plugins.diffusion.checkpoint import (
    PART,
    TABLE,
    fitting,
    meaning,
    start_from,
    starting_table,
    take_over,
    training_facts,
)
from dpgen_plugins.diffusion.diffusion_generator import DiffusionConfig
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.pretrain import pretrain
from dpgen_plugins.diffusion.settings import (
    AutoencoderSettings,
    LabelSettings,
)
from dpgen_plugins.diffusion.space import PIXELS, Space


class TransferConfig(DiffusionConfig):
    """Settings that all methods share which pretrain on a whole public set."""

    labels: LabelSettings = Field(default_factory=LabelSettings)
    pretrain: PretrainSettings = Field(default_factory=PretrainSettings)


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


def require_checkpoints(config: TransferConfig, task: Task, *, warm: bool = False) -> None:
    """Refuse, before anything private is opened, public checkpoints that do not fit; `warm` as in `pretrained_network`.

    Raises: what `fitting` raises; `ConfigError` for a network of codes without the autoencoder of these codes.
    """
    space = _space_at_hand(config, task.info)
    if config.pretrain.checkpoint is not None and task.public_info is not None:
        _diffusion_part(config, task.info.shape, task.public_info.class_names, space, warm=warm)


def pretrained_network(
    public: PublicDataset,
    info: DatasetInfo,
    config: TransferConfig,
    context: RunContext,
    space: Space = PIXELS,
    *,
    warm: bool = False,
) -> DiffusionNetwork:
    """A network trained on all images of `public`, ready for the private classes.

    A finished pretraining is kept for a resumed run. Costs no privacy. Where `pretrain.checkpoint` is set its weights
    are that network; or with `warm` the place from which training starts, for images that a private query chose.
    """
    names = _labels_of(public.class_names, config.labels)
    if config.pretrain.checkpoint is not None and not warm:
        pretrained = context.once("pretrain", lambda: _reused(public, config, context, space))
    else:
        network = starting_network(info, config, context, names, space)
        pretrained = context.once("pretrain", lambda: _trained(network, public, config, context, space))
    pretrained[TABLE] = starting_table(pretrained[TABLE], names, info.class_names, start=config.labels.start)
    ready = fresh_network(config.network, info, seed=context.seed, space=space)
    take_over(ready, pretrained)
    return ready


def starting_network(
    info: DatasetInfo, config: TransferConfig, context: RunContext, names: tuple[str, ...], space: Space = PIXELS
) -> DiffusionNetwork:
    """Where a training under the labels `names` starts: at the public checkpoint, or else at random weights."""
    network = fresh_network(config.network, info, seed=context.seed, classes=len(names), space=space)
    if config.pretrain.checkpoint is not None:
        manifest, weights = _diffusion_part(config, info.shape, names, space, warm=True)
        _publish(manifest, context)
        start_from(network, manifest, weights, names)
    return network


def pretrain_publicly(config: TransferConfig, public: PublicDataset, context: RunContext) -> tuple[Pretrained, ...]:
    """See `Pretrainable.pretrain`: the autoencoder of a latent space, then the network on all images of `public`."""
    info = DatasetInfo(public.shape, public.class_names, nominal_records=len(public))
    names, parts = _labels_of(public.class_names, config.labels), list[Pretrained]()
    space: Space = PIXELS
    if isinstance(config, LatentConfig) and config.space == "latent":
        settings = config.autoencoder.model_copy(update={"checkpoint": None})
        space = public_space(config.space, settings, info, public, context)
        parts.append(pretrained_autoencoder(space, settings, public.shape))
    network = fresh_network(config.network, info, seed=context.seed, classes=len(names), space=space)
    weights = context.once("pretrain", lambda: _trained(network, public, config, context, space))
    facts = meaning(config.network, config.noise_levels, public.shape, names, space)
    parts.append(Pretrained(part=PART, settings=facts, training=training_facts(config.pretrain), weights=weights))
    return tuple(parts)


def _trained(
    network: DiffusionNetwork, public: PublicDataset, config: TransferConfig, context: RunContext, space: Space
) -> dict[str, Tensor]:
    return pretrain(
        network,
        public.images,
        public.labels if config.labels.conditional else torch.zeros_like(public.labels),
        settings=config.pretrain,
        noise_levels=config.noise_levels,
        context=context,
        space=space,
    )


def _reused(public: PublicDataset, config: TransferConfig, context: RunContext, space: Space) -> dict[str, Tensor]:
    manifest, weights = _diffusion_part(config, public.shape, public.class_names, space, public=public)
    _publish(manifest, context)
    return weights


def _diffusion_part(
    config: TransferConfig,
    shape: Shape,
    class_names: tuple[str, ...],
    space: Space,
    *,
    warm: bool = False,
    public: PublicDataset | None = None,
) -> tuple[Manifest, dict[str, Tensor]]:
    """The network of `pretrain.checkpoint`, if it fits; to start from it, any classes and any training will do."""
    folder, names = config.pretrain.checkpoint, _labels_of(class_names, config.labels)
    assert folder is not None, "asked for where the setting is there"
    settings = meaning(config.network, config.noise_levels, shape, names, space)
    if warm:
        del settings["classes"]
    return fitting(folder, PART, settings=settings, training=None if warm else config.pretrain, public=public)


def _space_at_hand(config: TransferConfig, info: DatasetInfo) -> Space:
    """The space that a checkpoint's network must work in; where it is still to be trained there can be no such one."""
    if not isinstance(config, LatentConfig) or config.space == "pixel":
        return PIXELS
    if config.autoencoder.checkpoint is not None:
        return reused_space(config.autoencoder, info.shape)
    if config.pretrain.checkpoint is not None:
        raise ConfigError(
            "pretrain.checkpoint in latent space needs the autoencoder whose codes its network has learnt; found "
            "autoencoder.checkpoint unset. Set it to the folder that holds both."
        )
    return fresh_space(config.space, config.autoencoder, info, seed=0)


def _labels_of(class_names: tuple[str, ...], labels: LabelSettings) -> tuple[str, ...]:
    return class_names if labels.conditional else ("any",)


def _publish(manifest: Manifest, context: RunContext) -> None:
    """What the run started from, beside its result: all of it is public."""
    facts = {
        "public set": manifest.public.name,
        "images": manifest.public.images,
        "SHA-256 of the images": manifest.public.sha256,
        "SHA-256 of the weights": manifest.weights_sha256,
        "seed": manifest.seed,
        "dpgen": manifest.dpgen_version,
    }
    context.publish("pretraining.json", json.dumps({"pretraining": facts}, indent=2).encode())
