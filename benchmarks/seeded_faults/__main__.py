"""The table of seeded faults and the test that catches each.

    python -m benchmarks.seeded_faults [--area NAME] [--name FAULT] [--jobs 2] [--quick] [--json FILE]

Each fault is put alone into a copy of the tree. The tests named with it run first, then those that take under two
minutes (`tests/unit`, `tests/replay`), then, without `--quick`, all that CI runs; the first failure ends the trial.
Benign changes (renames, sums in another order, other batches) must fail no test.
Exit code 0 when at least 95 % of the faults are caught, 80 % of them by the tests under two minutes, and every benign
change passes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.seeded_faults.fault import Fault, all_faults
from benchmarks.seeded_faults.trial import Outcome, try_fault

CAUGHT, CAUGHT_QUICKLY = 0.95, 0.80


def chosen(faults: Sequence[Fault], area: str | None, name: str | None) -> list[Fault]:
    return [f for f in faults if area in (None, f.area) and name in (None, f.name)]


def line(outcome: Outcome) -> str:
    kind = "benign" if outcome.fault.benign else "fault"
    what = outcome.test or ("passes" if outcome.fault.benign else "NOT CAUGHT")
    return f"{outcome.fault.area:12} {outcome.fault.name:44} {kind:7} {outcome.stage:9} {outcome.seconds:6.1f} s  {what}"


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Shares over the faults, and counts."""
    faults = [o for o in outcomes if not o.fault.benign]
    benign = [o for o in outcomes if o.fault.benign]
    return {
        "faults": len(faults),
        "caught": sum(o.good for o in faults),
        "caught_in_two_minutes": sum(o.stage in ("targeted", "quick") for o in faults),
        "benign": len(benign),
        "benign_let_through": sum(o.good for o in benign),
    }


def met(total: dict[str, float]) -> bool:
    enough = total["caught"] >= CAUGHT * total["faults"]
    quickly = total["caught_in_two_minutes"] >= CAUGHT_QUICKLY * total["faults"]
    return enough and quickly and total["benign_let_through"] == total["benign"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area")
    parser.add_argument("--name")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="leave out the tests that take longer than two minutes")
    parser.add_argument("--json", type=Path, help="write the table to this file as well")
    arguments = parser.parse_args()
    faults = chosen(all_faults(), arguments.area, arguments.name)
    outcomes = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for future in as_completed([pool.submit(try_fault, f, everything=not arguments.quick) for f in faults]):
            outcomes.append(future.result())
            print(line(outcomes[-1]), flush=True)
    total = summary(outcomes)
    print(json.dumps(total))
    if arguments.json:
        ordered = sorted(outcomes, key=lambda o: (o.fault.area, o.fault.name))
        rows = [{"area": o.fault.area, "fault": o.fault.name, "benign": o.fault.benign, "stage": o.stage,
                 "test": o.test, "seconds": o.seconds} for o in ordered]  # fmt: skip
        arguments.json.write_text(json.dumps(total | {"rows": rows}, indent=2) + "\n", encoding="utf-8")
    return 0 if met(total) else 1


if __name__ == "__main__":
    sys.exit(main())
