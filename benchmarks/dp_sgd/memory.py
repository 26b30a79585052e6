"""Memory of a step: the largest resident size during it above that just before, each route in a process of its own.

    python -m benchmarks.dp_sgd.memory ROUTE CASE VIEWS...

The child runs one step to warm up (kernels are chosen and cached), returns what is free to the system, notes its
resident size, resets the kernel's high-water mark, runs the step, and reads the mark. glibc is told to map every block
of 64 KiB or more by itself and to unmap it when freed, so that the resident size follows what is alive and neither the
size of its arenas nor what earlier steps left in them. It measures what a machine must have: tensors, the gradients
returned, and the scratch memory of the kernels, which torch's own profiler does not see. Linux only.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.dp_sgd.cases import CASES_BY_NAME, CLIP_NORM, Case
from benchmarks.dp_sgd.routes import NonPrivate, Ours, Route
from benchmarks.dp_sgd.speed import ROUTES
from benchmarks.record import Goal

HIGHEST_RATIO = 1.15
_LIMITS = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of one step; `ratio` is over the non-private step on the same rows."""

    case: str
    route: str
    views: int
    rows: int
    mebibytes: float
    ratio: float


def memories(case: Case, views: Sequence[int]) -> Iterator[Memory]:
    """All routes at all numbers of views; a route that does not look at views is measured once."""
    plain = float("nan")
    for route in ROUTES:
        found = _ask_apart(route, case, views if route.reads_views else (1,))
        for k in views:
            mebibytes = found[k if route.reads_views else 1]
            plain = mebibytes if route is NonPrivate else plain
            yield Memory(case.name, route.name, k, case.rows, mebibytes, mebibytes / plain)


def goals(found: Sequence[Memory]) -> Iterator[Goal]:
    """Ours against the non-private step."""
    for one in found:
        if one.route == Ours.name:
            where = f"{one.case}, {one.views} views"
            yield Goal(f"memory over non-private: {where}", one.ratio, HIGHEST_RATIO, at_least=False)


def _ask_apart(route: type[Route], case: Case, views: Sequence[int]) -> dict[int, float]:
    command = [sys.executable, "-m", "benchmarks.dp_sgd.memory", route.name, case.name, *map(str, views)]
    root = Path(__file__).parents[2]
    surroundings = os.environ | _LIMITS | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=surroundings, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:])} failed:\n{done.stderr}")
    return {int(k): value for k, value in json.loads(done.stdout.splitlines()[-1]).items()}


def _answer(route: type[Route], case: Case, views: Sequence[int]) -> dict[int, float]:
    network, rows, found = case.network(), case.inputs(), {}
    for k in views:
        one = route(network, views=k, clip_norm=CLIP_NORM)
        one.step(rows)
        _return_free_memory()
        _reset_high_water_mark()
        before = _status("VmRSS")
        one.step(rows)
        found[k] = (_status("VmHWM") - before) / 1024
    return found


def _return_free_memory() -> None:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)


def _reset_high_water_mark() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak resident set size


def _status(key: str) -> int:
    """KiB."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1])


def main() -> None:
    """One JSON line: MiB by number of views."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    _, name, case, *views = sys.argv
    (route,) = (route for route in ROUTES if route.name == name)
    print(json.dumps(_answer(route, CASES_BY_NAME[case], [int(k) for k in views])))


if __name__ == "__main__":
    main()
