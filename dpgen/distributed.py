"""The processes of one run, one for each device: what they share, and how all of them end when one fails.

Every process runs the same program on the same configuration and data. The first one (rank 0) alone holds the ledger
and writes; it sends the others what they must share. On one process every method is what it says at no cost, so
callers never ask how many there are. What travels is private: the network between the machines belongs to the owner.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeVar, final

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from dpgen.errors import DistributedError, ProcessLost

T = TypeVar("T")
Finish = Callable[[dict[str, Tensor]], dict[str, Tensor]]

STEP_SECONDS: Final = 1800.0
"""How long the processes wait for each other within a step."""
WAIT_SECONDS: Final = 7 * 86400.0
"""How long the others wait for work of the first one alone, such as scores. A process that dies is noticed at once."""


@final
@dataclass(frozen=True)
class World:
    """The processes of a run, seen from the one of `rank` 0 .. `size` - 1; by default it is the only one.

    Every method but `share` is a meeting: all processes call it, in the same order. Where one of them is gone it
    raises `ProcessLost`.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """The number of this process on its own machine: which of the machine's devices is its own."""
    _patient: Any = field(default=None, repr=False, compare=False)

    @property
    def is_first(self) -> bool:
        """Is this the process that holds the ledger and writes?"""
        return self.rank == 0

    def share(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The part of `ids` that is for this process. Dealt in turn: no two parts differ by more than one id."""
        return ids[self.rank :: self.size]

    def add_up(self, tensors: dict[str, Tensor], finish: Finish) -> dict[str, Tensor]:
        """`finish` of the sum of all processes' `tensors`, bit for bit the same on all of them.

        An all-reduce with `finish` in its middle: the sum goes to the first process, which alone calls `finish` (where
        noise is added, it is added once), and its result, of the same shapes and dtype, goes to all. The sum is taken
        in the dtype given. Give float64: rounding a sum to fp32 can move it, from one neighbour to the other, by 2^-23
        of its norm, which for thousands of clipped records is far more than 1e-6 of the clip norm.
        """
        if self.size == 1:
            return finish(tensors)
        flat = _flat(tensors)
        with _meeting("adding up"):
            dist.reduce(flat, dst=0)
        if self.is_first:
            finished = finish(_cut(flat, tensors))
            flat = _flat({name: finished[name].to(flat) for name in tensors})
        with _meeting("sharing a sum"):
            dist.broadcast(flat, src=0)
        return _cut(flat, tensors)

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make()` gives in the first process, which alone calls it; sent to the others, who wait.

        Raises: in the first process what `make` raises; in the others then `ProcessLost`.
        """
        if self.size == 1:
            return make()
        if self.is_first:
            try:
                sent: list[Any] = [None, make()]
            except Exception as error:
                self._send([type(error).__name__, None])
                raise
        else:
            sent = [None, None]
        failure, value = self._send(sent)
        if failure is not None:
            raise ProcessLost(rank=0, kind=failure)
        result: T = value
        return result

    def to_first(self, own: T) -> list[T]:
        """What each process hands over, by rank, in the first process; nothing in the others."""
        if self.size == 1:
            return [own]
        found: list[Any] | None = [None] * self.size if self.is_first else None
        with _meeting("handing over to the first process"):
            dist.gather_object(own, found, dst=0, group=self._patient)
        return found or []

    def attempt(self, make: Callable[[], T]) -> T:
        """What `make()` gives in each process, once it has succeeded in all of them.

        Raises: in the lowest process that failed what its `make` raised; in all others `ProcessLost` naming it.
        """
        if self.size == 1:
            return make()
        failure: Exception | None = None
        try:
            value = make()
        except Exception as error:
            failure = error
        failures = self._gather(None if failure is None else type(failure).__name__)
        failed = [rank for rank, kind in enumerate(failures) if kind is not None]
        if failure is not None and failed[0] == self.rank:
            raise failure
        if failed:
            raise ProcessLost(rank=failed[0], kind=failures[failed[0]])
        return value

    def require_equal(self, what: str, digest: Callable[[], str]) -> None:
        """Raises: `DistributedError` in every process unless `digest()` of `what` is the same in all of them."""
        if self.size == 1:
            return
        digests = self._gather(digest())
        others = [str(rank) for rank, found in enumerate(digests) if found != digests[0]]
        if others:
            raise DistributedError(
                f"expected the same {what} in all {self.size} processes; found another in process {', '.join(others)} "
                "than in process 0. Start every process with the same program, configuration and data."
            )

    def _send(self, objects: list[Any]) -> list[Any]:
        with _meeting("sharing what the first process made"):
            dist.broadcast_object_list(objects, src=0, group=self._patient)
        return objects

    def _gather(self, own: str | None) -> list[str | None]:
        found: list[str | None] = [None] * self.size
        with _meeting("comparing notes"):
            dist.all_gather_object(found, own, group=self._patient)
        return found


@contextmanager
def joined() -> Iterator[World]:
    """The processes that torchrun started together with this one, or this one alone where torchrun did not.

    Raises: `ProcessLost` when they do not all arrive.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        yield World()
        return
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    with connected(rank, size, local_rank=int(os.environ.get("LOCAL_RANK", "0"))) as world:
        yield world


@contextmanager
def connected(
    rank: int,
    size: int,
    *,
    local_rank: int = 0,
    meeting_place: str = "env://",
    step_seconds: float = STEP_SECONDS,
    wait_seconds: float = WAIT_SECONDS,
) -> Iterator[World]:
    """Meet the other processes at a PyTorch `init_method`, by default the one in torchrun's environment."""
    if size == 1:
        yield World(local_rank=local_rank)
        return
    # Control messages and sums on the CPU go by gloo; sums on CUDA devices by NCCL, which starts with the first one.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    with _meeting("starting"):
        dist.init_process_group(
            backend, init_method=meeting_place, rank=rank, world_size=size, timeout=timedelta(seconds=step_seconds)
        )
        patient = dist.new_group(backend="gloo", timeout=timedelta(seconds=wait_seconds))
    world = World(rank, size, local_rank, patient)
    yield world
    # Only where all went well: otherwise to leave in good order would be to wait for one who is gone.
    world.attempt(lambda: None)
    dist.destroy_process_group()


def _flat(tensors: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors.values()])


def _cut(flat: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = torch.split(flat, [tensor.numel() for tensor in like.values()])
    return {name: part.view(tensor.shape) for (name, tensor), part in zip(like.items(), parts, strict=True)}


@contextmanager
def _meeting(purpose: str) -> Iterator[None]:
    """Turn the backend's error for a peer that is gone, or late beyond the timeout, into ours."""
    try:
        yield
    except RuntimeError as error:  # also DistBackendError, DistStoreError, DistNetworkError
        raise ProcessLost(purpose=f"{purpose}: {type(error).__name__}") from error
