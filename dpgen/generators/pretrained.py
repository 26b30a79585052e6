"""Weights trained on public images alone, kept in a folder and used again for any private set and any budget.

Of each part that was trained there is `PART.json`, the manifest: what was trained, on which public images, with which
settings, and the SHA-256 of the weights; and `PART.safetensors`, the weights. Nothing else is ever taken for public:
weights that were trained on private images cost something that no plan of a later run would count.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self, final

import safetensors.torch
import torch
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.errors import InvalidValue, PrivacyError, StorageError
from dpgen.mechanisms.context import RunContext
from dpgen.storage import digest, parse_json, read, write_atomically

FORMAT: Final = "dpgen public pretraining 1"
_SIGNS_OF_A_RUN: Final = ("run.json", "ledger.jsonl", "release", "internal", "model", "config.json")
"""What lies in a run folder, in its release, or beside the weights of a released model."""


@final
@dataclass(frozen=True, kw_only=True)
class PublicSet:
    """The public images that a training saw: their name, how many, and the SHA-256 of pixels, labels and names."""

    name: str
    images: int
    class_names: tuple[str, ...]
    sha256: str

    @classmethod
    def of(cls, public: PublicDataset) -> Self:
        """That of `public`. Reads all of it."""
        code = hashlib.sha256(json.dumps([list(public.images.shape), list(public.class_names)]).encode())
        for tensor in (public.images, public.labels):
            code.update(tensor.cpu().contiguous().view(torch.uint8).numpy().data)
        return cls(name=public.name, images=len(public), class_names=public.class_names, sha256=code.hexdigest())


@final
@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `PART.json` says.

    Args: `settings` those that the weights have their meaning and shape from, `training` how they were trained: both
    plain JSON data. `seed` is the public one.
    """

    part: str
    settings: Mapping[str, Any]
    training: Mapping[str, Any]
    public: PublicSet
    seed: int
    weights_sha256: str
    dpgen_version: str

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain JSON data."""
        public = self.public
        return {
            "format": FORMAT,
            "privacy": "trained on public images alone; no private image was at hand",
            "part": self.part,
            "settings": dict(self.settings),
            "training": dict(self.training),
            "public": {
                "name": public.name,
                "images": public.images,
                "class_names": list(public.class_names),
                "sha256": public.sha256,
            },
            "seed": self.seed,
            "weights_sha256": self.weights_sha256,
            "dpgen_version": self.dpgen_version,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave. Raises: `LookupError`, `TypeError`, `ValueError` for anything else."""
        if data["format"] != FORMAT:
            raise ValueError("another format")
        public = data["public"]
        names = tuple(str(name) for name in public["class_names"])
        return cls(
            part=str(data["part"]),
            settings=dict(data["settings"]),
            training=dict(data["training"]),
            public=PublicSet(
                name=str(public["name"]), images=int(public["images"]), class_names=names, sha256=str(public["sha256"])
            ),
            seed=int(data["seed"]),
            weights_sha256=str(data["weights_sha256"]),
            dpgen_version=str(data["dpgen_version"]),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Weights that `Pretrainable.pretrain` made; `part`, `settings` and `training` as in `Manifest`."""

    part: str
    settings: Mapping[str, Any]
    training: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def save_pretrained(folder: Path, pretrained: Pretrained, public: PublicSet, *, seed: int) -> Manifest:
    """Write the weights, then the manifest: a part without one was not finished. Raises: `StorageError`."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in pretrained.weights.items()}
    payload = safetensors.torch.save(tensors)
    manifest = Manifest(
        part=pretrained.part,
        settings=pretrained.settings,
        training=pretrained.training,
        public=public,
        seed=seed,
        weights_sha256=digest(payload),
        dpgen_version=version("dpgen"),
    )
    write_atomically(folder / f"{manifest.part}.safetensors", payload)
    write_atomically(folder / f"{manifest.part}.json", json.dumps(manifest.to_json(), indent=2).encode())
    return manifest


def read_manifest(folder: Path, part: str) -> Manifest:
    """What the folder says of `part`; the weights are not read.

    Raises: `PrivacyError` for a run folder, a release or a released model, whose weights were trained on private
    images; `InvalidValue` where there is no such part; `StorageError` for a manifest that cannot be read.
    """
    signs = [name for name in _SIGNS_OF_A_RUN if (folder / name).exists()]
    if signs:
        raise PrivacyError(
            f"expected weights that were trained on public images alone; found {', '.join(signs)} in {folder}, which "
            "a run on private images leaves. Its model is a private release: to train on from it as if it were public "
            "would spend budget that no ledger counts. Give a folder that `dpgen pretrain` made."
        )
    path = folder / f"{part}.json"
    if not path.is_file():
        raise InvalidValue(
            f"expected the pretrained part {part!r} in {folder}; found no {path.name}. "
            f"Make it with `dpgen pretrain CONFIG --output {folder}`."
        )
    try:
        manifest = Manifest.from_json(parse_json(read(path)))
        if manifest.part != part:
            raise ValueError("another part")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(
            f"expected the manifest of a public pretraining in {path}; it cannot be read ({type(error).__name__}). "
            "Restore it, or make it anew with `dpgen pretrain`."
        ) from error
    return manifest


def load_pretrained(folder: Path, manifest: Manifest) -> dict[str, Tensor]:
    """The weights of `manifest.part`, on the CPU.

    Raises: `StorageError` where they are not, byte for byte, those that the manifest was written for.
    """
    path = folder / f"{manifest.part}.safetensors"
    payload = read(path)
    if digest(payload) != manifest.weights_sha256:
        raise StorageError(
            f"expected the weights whose SHA-256 the manifest beside them states; found others in {path}. "
            "Restore them, or make them anew with `dpgen pretrain`: altered weights cannot be taken for public ones."
        )
    try:
        return dict(safetensors.torch.load(payload))
    except safetensors.SafetensorError as error:
        raise StorageError(f"expected weights in safetensors form; found something else in {path}.") from error


class Pretrainable(ABC):
    """A generator whose training on public images can be made ahead, by `dpgen pretrain`, and used for many runs."""

    @abstractmethod
    def pretrain(self, public: PublicDataset, context: RunContext) -> tuple[Pretrained, ...]:
        """Train on `public` alone, resumable through `context.checkpoints`. No private image or budget is at hand."""
