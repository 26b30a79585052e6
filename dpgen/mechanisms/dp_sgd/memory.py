"""How many rows fit into memory at once, measured on made-up examples before any record is read."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MEMORY_SHARE: Final = 0.5
"""Of what is free: the rest is for what the probe cannot see (workspaces of kernels, the caller's own)."""
CPU_ROWS: Final = 128
"""Beyond it nothing is gained on a CPU: of 16 to 256 rows the 28 px U-Nets were fastest, or within 5 %, at 128."""
CUDA_ROWS: Final = 4096
"""Beyond it a pass is long enough that its start costs nothing."""


def rows_that_fit(run: Callable[[int], object], *, views: int, device: torch.device, most: int, sharers: int) -> int:
    """The largest power of two of rows, at most `most`, whose pass fits into this process's share of memory.

    Memory is taken as a line through two measured sizes. A power of two, so that a little more or less free memory
    seldom changes it; it changes results by rounding alone.

    Args: `run(examples)` makes one pass over made-up examples of `views` rows each; `sharers` processes use the
    device's memory together.
    """
    few = max(1, 8 // views)
    if device.type == "cuda":
        run(few)  # once for what is allocated for good
    limit = MEMORY_SHARE * available_bytes(device) / sharers
    small = _peak_bytes(run, few, device)
    if small * most / (few * views) <= limit:  # even if all of it grew with the rows
        return _power_of_two_up_to(most)
    row = max((_peak_bytes(run, 2 * few, device) - small) / (few * views), 1.0)
    fixed = max(small - row * few * views, 0.0)
    return _power_of_two_up_to(min(most, (limit - fixed) / row))


def _power_of_two_up_to(number: float) -> int:
    return 1 << max(0, int(max(number, 1.0)).bit_length() - 1)


def most_rows(device: torch.device, *, expected_rows: float) -> int:
    """Beyond how many rows a pass gains nothing, by public numbers: the device and the rows expected in a step.

    Where passes have a fixed shape the last one of a step is half padding on average; at 16 passes a step that is 3 %.
    """
    if device.type != "cuda":
        return CPU_ROWS
    return max(2 * CPU_ROWS, min(CUDA_ROWS, int(expected_rows / 16)))


def available_bytes(device: torch.device) -> int:
    """Memory that this process could still take on `device`."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_machine_bytes(), _container_bytes())


def _machine_bytes() -> int:
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # no Linux: half of what is built in
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _container_bytes() -> int:
    """What the control group leaves (Linux, version 2); no bound where there is none."""
    group = Path("/sys/fs/cgroup")
    try:
        return max(0, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no such file, or "max"
        return 1 << 62


def _peak_bytes(run: Callable[[int], object], examples: int, device: torch.device) -> int:
    """The most memory that one pass holds beyond what was held before it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run(examples)
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with _live_bytes() as live:
        run(examples)
    return live.peak


@contextmanager
def _live_bytes() -> Iterator[_LiveBytes]:
    live = _LiveBytes()
    with live:
        yield live


@final
class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that operations make while they are alive, and keeps the peak: exact and repeatable.

    Unlike the size of the process, which keeps what was freed; and it sees what no hook on saved tensors does, the
    tensors between two operations of the backward pass.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return

        def gone(_: object) -> None:
            if self._alive.pop(key, None) is not None:
                self._now -= size

        self._alive[key] = weakref.ref(storage, gone)
        self._now += size
        self.peak = max(self.peak, self._now)
