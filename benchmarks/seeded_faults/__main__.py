"""The table of seeded faults and the test that catches each.

    python -m benchmarks.seeded_faults [--area NAME] [--name FAULT] [--jobs 2] [--until STAGE] [--json FILE]

Each fault is put alone into a copy of the tree (`--tree HEAD`, another commit, or `working`). The tests named with it
run first, then those that take under two minutes together (`trial.QUICK`), then all that CI runs; the first failure
ends the trial. Before any fault is tried, the tests named must pass in the tree as it is. Benign changes (renames, sums
in another order, other batches) must fail no test; they are tried all at once.

`--json` adds to the rows of an earlier run, so areas can be run one by one; `--page` puts the table into a page.
Exit code 0 when at least 95 % of the faults are caught, 80 % of them by tests under two minutes, every benign change
passes, and no fault merely crashes; 1 when not; 2 when there is nothing to judge: faults of another tree, or tests that
fail without one. With `--json` all faults are judged, else the chosen ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.seeded_faults import table
from benchmarks.seeded_faults.fault import Fault, all_faults
from benchmarks.seeded_faults.tree import name_of, sound_copy
from benchmarks.seeded_faults.trial import STAGES, Outcome, first_failure, try_fault, try_together


def line(outcome: Outcome) -> str:
    fault = outcome.fault
    kind = "benign" if fault.benign else "fault"
    what = outcome.test or ("passes" if fault.benign else "NOT CAUGHT")
    how = "" if outcome.kind is None else f"  ({outcome.kind})"
    return f"{fault.area:12} {fault.name:44} {kind:7} {outcome.stage:9} {outcome.seconds:6.1f} s  {what}{how}"


def outcomes(faults: Sequence[Fault], sound: Path, *, until: str, jobs: int) -> Iterator[Outcome]:
    """As they come."""
    benign = [fault for fault in faults if fault.benign]
    if benign:
        yield from try_together(benign, sound, until=until)
    with ThreadPoolExecutor(jobs) as pool:
        for future in as_completed([pool.submit(try_fault, f, sound, until=until) for f in faults if not f.benign]):
            yield future.result()


def nothing_to_judge(faults: Sequence[Fault], sound: Path) -> str | None:
    """Why the faults cannot be tried in this tree, or None."""
    complaints = [found for fault in faults if (found := fault.complaint(sound)) is not None]
    if complaints or not faults:
        return "\n".join(complaints) or "no such fault"
    tests = sorted({test for fault in faults for test in fault.tests})
    failed = first_failure(sound, tests)
    return None if failed is None else f"{failed.test} fails without any fault; mend it first"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area")
    parser.add_argument("--name")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--tree", default="HEAD", help='a commit, or "working" for the folder as it is')
    parser.add_argument("--until", choices=STAGES, default="all", help="the last stage of tests to try")
    parser.add_argument("--json", type=Path, help="put the rows into this file")
    parser.add_argument("--page", type=Path, help="put the table into this Markdown page")
    return parser.parse_args()


def main() -> int:
    arguments, known = parsed(), all_faults()
    chosen = [f for f in known if arguments.area in (None, f.area) and arguments.name in (None, f.name)]
    rows = table.merged(table.read(arguments.json), [], known)
    judged = known if arguments.json else chosen
    with tempfile.TemporaryDirectory(prefix="seeded-faults-") as folder:
        tree, sound = name_of(arguments.tree), sound_copy(arguments.tree, Path(folder) / "tree")
        reason = nothing_to_judge(chosen, sound)
        if reason is not None:
            print(reason)
            return 2
        for outcome in outcomes(chosen, sound, until=arguments.until, jobs=arguments.jobs):
            print(line(outcome), flush=True)
            rows = table.merged(rows, [table.row(outcome, tree=tree, until=arguments.until)], known)
            table.write(arguments.json, rows, known)  # at once: what was tried stays when the rest is stopped
    total = table.summary(rows, judged)
    print(json.dumps(total))
    if arguments.page:
        page = arguments.page.read_text(encoding="utf-8")
        arguments.page.write_text(table.put_into(page, table.as_markdown(rows, known)), encoding="utf-8")
    return 0 if table.met(total) else 1


if __name__ == "__main__":
    sys.exit(main())
