"""What exact per-example clipping costs: `python -m benchmarks.dp_sgd [--json [FILE]] [--quick] [--device cuda]`.

On the CPU: exactness, processor time, peak memory and the safe path's cost of `clipped_gradient_sum` beside a
non-private step, Opacus 1.6 (hooks and ghost mode) and `torch.func`, on one thread. On a CUDA device: wall-clock time
under bf16, channels-last and torch.compile, memory, and the rows per second of the best setting of each. What is in and
out of each figure is said at the head of the module that takes it. Every goal is marked met or MISSED in the tables.

`--json FILE` replaces the measured sections in FILE and keeps the others, so that one can be repeated in a quiet hour
or on another machine; each says when and where it was taken. Without FILE the record is printed instead of the tables.
`python -m benchmarks.dp_sgd.table FILE` prints the tables of a record. About 30 minutes of one core; `--quick` takes
half a minute, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.dp_sgd import gpu
from benchmarks.dp_sgd.sections import ON_CPU, ON_GPU, Section, chosen
from benchmarks.dp_sgd.table import tables
from benchmarks.record import as_json, machine

LIBRARIES = ("dpgen", "torch", "opacus")
Record = dict[str, dict[str, Any]]
"""By section."""


def main() -> None:
    arguments = _parser().parse_args()
    warnings.simplefilter("ignore")  # Opacus' hooks warn on every step
    torch.set_num_threads(1)
    on_gpu = arguments.device == "cuda"
    where = machine(LIBRARIES) | {"threads": "1", "device": gpu.device_name() if on_gpu else "cpu"}
    file = arguments.json if isinstance(arguments.json, Path) else None
    record: Record = json.loads(file.read_text()) if file and file.exists() else {}
    for name, section in (ON_GPU if on_gpu else chosen(arguments.only)).items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        for part in growing(section, where, quick=arguments.quick, repeats=arguments.repeats):
            record[name] = part
            if file:  # after each figure: the whole takes long
                file.write_text(as_json(record))
    sys.stdout.write(as_json(record) if arguments.json is True else tables(json.loads(as_json(record))))


def growing(section: Section, where: dict[str, str], *, quick: bool, repeats: int) -> Iterator[dict[str, Any]]:
    """The section after each figure, with all that one must know to repeat it; judged once it is complete."""
    load, found = os.getloadavg()[0], list[Any]()
    result: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": where,
        "quick": quick,
        "repeats": repeats,
        "goals": [],
    }
    for one in section.measure(quick, repeats):
        found.append(one)
        result |= {"lines": [asdict(one) for one in found], "load": [round(load, 1), round(os.getloadavg()[0], 1)]}
        yield result | {"complete": False}
    yield result | {"complete": True, "goals": [goal.to_json() for goal in section.judge(found)]}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", nargs="?", const=True, type=Path, metavar="FILE", help="the record as JSON")
    parser.add_argument("--quick", action="store_true", help="a smoke run on a tiny network")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each timing (default 5)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", nargs="*", default=[], choices=tuple(ON_CPU), help="sections on the CPU")
    return parser


if __name__ == "__main__":
    main()
