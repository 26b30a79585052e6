"""Accounting against the peers, and against the truth: `python -m benchmarks.accounting [--json FILE] [--quick]`.

Soundness and width on every case of tests/oracle/pld_reference.json; speed against prv-accountant and dp-accounting
in this process (medians, taking turns); memory and imports in fresh processes. Every goal is printed with yes or no.
About 20 minutes; `--quick` leaves out what takes long: other deltas, workload E, peers on F, dp-accounting's searches.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from benchmarks.accounting.goals import SECTIONS
from benchmarks.accounting.soundness import absences
from benchmarks.record import Goal, as_json, machine

LIBRARIES = ("dpgen", "prv-accountant", "dp-accounting", "opacus", "numpy", "scipy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything found there")
    parser.add_argument("--quick", action="store_true", help="a minute instead of twenty")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of each timing (default 3)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="prv_accountant|dp_accounting|opacus")
    for reason in absences():
        print(f"left out: {reason}")
    record: dict[str, Any] = {"machine": machine(LIBRARIES), "left_out": absences()}
    goals: list[Goal] = []
    for name, section in SECTIONS.items():
        print(f"\n{section.__doc__}")
        rows, found = section(arguments.quick, arguments.repeats)
        record[name] = rows
        goals += found
        for goal in found:
            print(f"  {goal}", flush=True)
    record["goals"] = [goal.to_json() for goal in goals]
    if arguments.json:
        arguments.json.write_text(as_json(record))
    missed = sum(not goal.met for goal in goals)
    print(f"\n{len(goals) - missed} of {len(goals)} goals met")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
