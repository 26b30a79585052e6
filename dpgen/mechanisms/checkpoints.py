"""Unfinished and finished work as tensors plus facts, sealed against torn writes; never a pickle."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from dpgen.distributed import World
from dpgen.errors import StorageError
from dpgen.storage import parse_json, read_sealed, remove_sealed, sealed_exists, write_sealed


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and JSON facts such as the step reached."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any] = field(default_factory=dict)


class Checkpoints:
    """Named checkpoints in one folder of `internal/`, or in memory when `folder` is None.

    Each file is safetensors sealed with its SHA-256 and replaced atomically. Of a torn file the version before it is
    read, else it is refused; never half a file, never a silent start from nothing.

    They belong to the first process of a run: it alone writes, and what it reads goes to all. Which processes these
    are is in no file, so a run may go on with another number of them.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder, self._world = folder, World()
        self._memory: dict[str, bytes] = {}

    def shared(self, world: World) -> Checkpoints:
        """The same checkpoints, for all processes of `world` together: `load` is then a meeting of theirs."""
        other = copy.copy(self)
        other._world = world
        return other

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any] | None = None) -> None:
        """Replace the checkpoint `name`; after this returns it survives a power cut."""
        if not self._world.is_first:
            return
        plain = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        payload = safetensors.torch.save(plain, metadata={"facts": json.dumps(dict(facts or {}))})
        if self._folder is None:
            self._memory[name] = payload
        else:
            write_sealed(self._path(name), payload)

    def load(self, name: str) -> Checkpoint | None:
        """The checkpoint `name`, or None when there is none.

        Raises: `StorageError` when neither the file nor the version before it matches its seal.
        """
        payload = self._world.from_first(lambda: self._read(name))
        return None if payload is None else _decode(payload)

    def has(self, name: str) -> bool:
        """Is there a checkpoint `name`? Like `load` a meeting of all processes; nothing is read or verified."""
        return self._world.from_first(lambda: self._exists(name))

    def drop(self, name: str) -> None:
        """Forget the checkpoint `name`; nothing happens when there is none."""
        self._memory.pop(name, None)
        if self._folder is not None and self._world.is_first:
            remove_sealed(self._path(name))

    def _read(self, name: str) -> bytes | None:
        if self._folder is None:
            return self._memory.get(name)
        return read_sealed(self._path(name)) if self._exists(name) else None

    def _exists(self, name: str) -> bool:
        return name in self._memory if self._folder is None else sealed_exists(self._path(name))

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{name}.checkpoint"


def _decode(payload: bytes) -> Checkpoint:
    """The tensors and facts in a payload. Its seal holds no secret: anyone can seal anything; nothing is believed."""
    try:
        tensors = safetensors.torch.load(payload)  # first: it checks the length of the header and every offset
        header = parse_json(payload[8 : 8 + int.from_bytes(payload[:8], "little")])
        facts = parse_json(header["__metadata__"]["facts"])
    except Exception as error:
        raise StorageError(
            f"expected a checkpoint in safetensors form; found something else ({type(error).__name__}). "
            "Restore it from a backup, or start a new run in another folder."
        ) from None
    if not isinstance(facts, dict):
        raise StorageError("expected the facts of a checkpoint by name; found something else. Start a new run.")
    return Checkpoint(tensors, facts)
