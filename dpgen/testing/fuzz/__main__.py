"""`python -m dpgen.testing.fuzz`: leave it running, or repeat what it found."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path

from dpgen.testing.fuzz.artefacts import artefacts
from dpgen.testing.fuzz.campaign import Tally, run_cases
from dpgen.testing.fuzz.targets import TARGETS, Case


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print one line for each target and each failure; 1 when there is a failure."""
    options = _parser().parse_args(arguments)
    if options.replay is not None:
        content = options.replay.read_bytes()
        name = options.replay.name.partition("-")[2] or options.replay.name
        cases: Iterator[Case] = iter(
            [Case(options.target[0], name, content, "replayed", TARGETS[options.target[0]].beside())]
        )
    else:
        crafted = (case for case in artefacts() if case.target in options.target)
        drawn = _drawn(options.target, options.seed, options.count, options.seconds)
        cases = chain(crafted if options.artefacts else (), drawn)
    return _report(run_cases(cases, options.target), options.out)


def _drawn(targets: Sequence[str], seed: int, most: int | None, seconds: float | None) -> Iterator[Case]:
    """The hostile files of each target in turn, up to a number for each or a time for all."""
    deadline = None if seconds is None else time.monotonic() + seconds
    for number in count() if most is None else range(most):
        for name in targets:
            if deadline is not None and time.monotonic() > deadline:
                return
            yield TARGETS[name].case(seed, number)


def _report(tallies: dict[str, Tally], folder: Path) -> int:
    print(f"{'target':<12} {'cases':>8} {'refused':>8} {'failures':>8} {'worst s':>8} {'worst MiB':>9}")
    for name, tally in tallies.items():
        figures = f"{tally.cases:>8} {tally.refused:>8} {len(tally.failures):>8}"
        print(f"{name:<12} {figures} {tally.seconds:>8.2f} {tally.mebibytes:>9.0f}")
    for tally in tallies.values():
        for failure in tally.failures:
            _, command = failure.keep(folder)
            print(f"\n{failure.case.target}: {failure.fault}\n  {failure.case.origin}\n  {command}")
    return 1 if any(tally.failures for tally in tallies.values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dpgen.testing.fuzz", description=__doc__)
    parser.add_argument("--target", nargs="+", choices=sorted(TARGETS), default=list(TARGETS))
    parser.add_argument("--count", type=int, help="damaged files for each target; default: no end")
    parser.add_argument("--seconds", type=float, help="stop after this time; default: no end")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--artefacts", action="store_true", help="the crafted files first")
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"), help="folder for what failed")
    parser.add_argument("--replay", type=Path, help="open one file again; needs --target")
    return parser


if __name__ == "__main__":
    sys.exit(main())
