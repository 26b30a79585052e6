"""Whether weights that `dpgen pretrain` made fit a configuration, and how they are taken over. All of it is public."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import Shape
from dpgen.errors import ConfigError, StorageError
from dpgen.generators.pretrained import Manifest, PublicSet, load_pretrained, read_manifest
from dpgen.generators.training.settings import TrainingSettings
from dpgen.networks.diffusion_network import DiffusionNetwork
from dpgen.networks.digest import weights_digest
from dpgen_plugins.diffusion.settings import NetworkSettings, NoiseLevelSettings
from dpgen_plugins.diffusion.space import PIXELS, Space

PART: Final = "diffusion"
TABLE: Final = "class_table.weight"
_KINDS: Final[dict[str, type[BaseModel]]] = {"network": NetworkSettings, "noise_levels": NoiseLevelSettings}


def training_facts(settings: TrainingSettings) -> dict[str, Any]:
    """How a part was trained, as its manifest says it."""
    return settings.model_dump(mode="json", exclude={"checkpoint"})


def meaning(
    network: NetworkSettings, noise_levels: NoiseLevelSettings, shape: Shape, classes: tuple[str, ...], space: Space
) -> dict[str, Any]:
    """What the weights of a diffusion network have their shape and meaning from, as their manifest says it.

    `space` enters as "pixel", or as the digest of the very autoencoder whose codes the network has learnt.
    """
    return {
        "network": network.model_dump(mode="json"),
        "noise_levels": noise_levels.model_dump(mode="json"),
        "shape": list(shape),
        "classes": list(classes),
        "space": "pixel" if space is PIXELS else weights_digest(space),
    }


def fitting(
    folder: str,
    part: str,
    *,
    settings: Mapping[str, Any],
    training: TrainingSettings | None = None,
    public: PublicDataset | None = None,
) -> tuple[Manifest, dict[str, Tensor]]:
    """The manifest and the weights of `part` in `folder`, if they fit.

    Args: `settings` must be equal to the manifest's as far as they are given; `training` where the weights stand for
    its result; `public` where they must have seen those very images.
    Raises: `ConfigError` naming what differs; what `read_manifest` and `load_pretrained` raise.
    """
    manifest = read_manifest(Path(folder), part)
    expected = dict(settings) | ({} if training is None else {"training": training_facts(training)})
    found = dict(manifest.settings) | {"training": manifest.training}
    kinds = _KINDS | ({} if training is None else {"training": type(training)})
    found |= {name: _completed(kinds[name], found[name]) for name in kinds.keys() & found.keys()}
    differing = [key for name in expected for key in _differences(expected[name], found.get(name), name)]
    if differing:
        raise ConfigError(
            f"{part}.json in {folder} must fit the configuration; expected {', and '.join(differing)} there. Set the "
            "keys as they are there, or make other weights: `dpgen pretrain CONFIG --output FOLDER`."
        )
    if public is not None and manifest.public.sha256 != PublicSet.of(public).sha256:
        raise ConfigError(
            f"{part}.json in {folder} must be of the public images of this run, {public.name!r} ({len(public)} "
            f"images); found others, of {manifest.public.name!r} ({manifest.public.images} images). Set `data.public` "
            "as it was then, or make other weights: `dpgen pretrain CONFIG --output FOLDER`."
        )
    return manifest, load_pretrained(Path(folder), manifest)


def start_from(
    network: DiffusionNetwork, manifest: Manifest, weights: Mapping[str, Tensor], names: tuple[str, ...]
) -> None:
    """Load weights that were trained under other classes: those of the same name keep their row, others get the mean.

    `names` are the classes of `network`. Raises: as `take_over`.
    """
    known = tuple(manifest.settings.get("classes", ()))
    if TABLE not in weights or len(weights[TABLE]) != len(known) + 1:
        raise _other_weights("one row of the class table for each class of the manifest")
    take_over(network, dict(weights) | {TABLE: starting_table(weights[TABLE], known, names, start="names")})


def take_over(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load `weights` into `module`. Raises: `StorageError` where a manifest was altered and they no longer fit."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise _other_weights("weights of the network that the manifest describes") from error


def _other_weights(expected: str) -> StorageError:
    return StorageError(f"expected {expected}; found others. Restore both files, or make them anew: `dpgen pretrain`.")


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


def _completed(kind: type[BaseModel], found: Any) -> dict[str, Any]:
    """`found`, with the defaults of settings that there were not yet when it was written."""
    try:
        return kind.model_validate(found).model_dump(mode="json", exclude={"checkpoint"})
    except ValidationError as error:
        raise StorageError(
            f"expected a manifest with settings of this version of dpgen; found {error.error_count()} others. "
            "Make the weights anew with `dpgen pretrain`."
        ) from None


def _differences(expected: Any, found: Any, name: str) -> list[str]:
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        keys = sorted(expected.keys() | found.keys())
        return [line for key in keys for line in _differences(expected.get(key), found.get(key), f"{name}.{key}")]
    return [] if expected == found else [f"{name} = {_short(expected)}, found {_short(found)}"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
