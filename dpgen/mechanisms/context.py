"""What surrounds a run without touching its guarantee: device, checkpoints, progress, published files."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from dpgen.distributed import World
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.mechanisms.compute import Compute
from dpgen.storage import write_atomically

Advance = Callable[[int], None]


class Progress(ABC):
    """Shows how far a phase is. What it is told is public: step counts, never values of the private data."""

    @abstractmethod
    def track(self, phase: str, total: int) -> AbstractContextManager[Advance]:
        """A phase of `total` steps; call what is yielded with the number of steps done since the last call."""


class SilentProgress(Progress):
    """Shows nothing."""

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        """Swallow the steps."""
        yield lambda steps: None


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Where a run computes, keeps its unfinished work, shows progress, and puts what it may give away.

    `seed` is public: initial weights, public training, sampling. Nothing secret is ever drawn from it.
    `published` is the folder whose files will be released; `None` drops them.
    `physical_batch` bounds the rows in memory at once and never changes a result's law. With `fit_to_memory` training
    that can measure how many rows fit takes that number instead.
    `compute` says how gradients are computed; another choice changes them by rounding alone.
    `world` are the processes that run together; checkpoints and published files are those of the first one.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    progress: Progress = field(default_factory=SilentProgress)
    seed: int = 0
    published: Path | None = None
    physical_batch: int = 256
    fit_to_memory: bool = False
    compute: Compute = field(default_factory=Compute)
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        object.__setattr__(self, "checkpoints", self.checkpoints.shared(self.world))

    def alone(self) -> RunContext:
        """The same surroundings for work of the first process alone, while the others wait."""
        return replace(self, world=World())

    @property
    def fixed_shape(self) -> bool:
        """Should every pass through a network have the same number of rows, padded where records are missing?

        On CUDA kernels are chosen, and memory is kept, by shape, and a compiled pass is compiled for one; else a
        shorter pass is simply cheaper.
        """
        return self.device.type == "cuda" or self.compute.compile

    def once(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of a finished phase: from its checkpoint if there is one, else `make()`, then saved.

        A run that was killed skips its finished phases this way; a released answer is never asked for twice. All
        processes of a run call it together; what the first one made is what all of them get.
        """
        finished = self.checkpoints.load(name)
        if finished is None:
            self.checkpoints.save(name, make())
            finished = self.checkpoints.load(name)
            assert finished is not None, "a checkpoint that was just saved can be loaded"
        return {key: tensor.to(self.device) for key, tensor in finished.tensors.items()}

    def publish(self, name: str, content: bytes) -> None:
        """Put a file among the released ones. Its content must be DP output, post-processing of it, or public."""
        if self.published is not None and self.world.is_first:
            write_atomically(self.published / name, content)

    def generator(self, purpose: str) -> torch.Generator:
        """A fresh generator for public randomness: equal for equal (`seed`, `purpose`), on the CPU."""
        return public_generator(self.seed, purpose)


def public_generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for public randomness, keyed by `seed` and what it is for; never for anything secret."""
    digest = hashlib.sha256(f"dpgen public {seed} {purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
