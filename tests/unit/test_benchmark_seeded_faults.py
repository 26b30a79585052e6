"""The list of seeded faults fits the code as it is now, and its harness tells caught from escaped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("benchmarks.seeded_faults", reason="benchmarks are not part of the installed package")

from benchmarks.seeded_faults import table
from benchmarks.seeded_faults.fault import Fault, all_faults
from benchmarks.seeded_faults.tree import ROOT
from benchmarks.seeded_faults.trial import Outcome, is_quick, try_fault, try_together

FAULTS = all_faults()
AREAS = {"accounting", "histogram", "dp_sgd", "sampler", "ledger", "pipeline", "plugin", "evaluation", "persistence",
         "distributed"}  # fmt: skip

HALF = Fault(
    name="half", area="toy", file="toy.py", before="return 2 * x", after="return x", tests=("tests/test_toy.py",)
)
UNSEEN = replace(HALF, name="unseen", before="return 0", after="return 1")
RENAMED = replace(HALF, name="renamed", before="# twice", after="# two times", benign=True)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_fault_fits_the_code_as_it_is(fault):
    assert fault.complaint(ROOT) is None


def test_there_are_enough_faults_in_every_area():
    assert {fault.area for fault in FAULTS if not fault.benign} == AREAS
    assert sum(not fault.benign for fault in FAULTS) >= 90
    assert sum(fault.benign for fault in FAULTS) >= 10
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "tests").mkdir(parents=True)
    (tree / "toy.py").write_text("def twice(x):\n    return 2 * x  # twice\n\n\ndef zero():\n    return 0\n")
    (tree / "tests" / "test_toy.py").write_text(
        "from toy import twice\n\ndef test_twice():\n    assert twice(3) == 6\n"
    )
    return tree


def test_a_fault_is_caught_and_one_that_no_test_sees_escapes(toy):
    found = try_fault(HALF, toy, until="targeted")
    assert (found.stage, found.good) == ("targeted", True)
    assert found.test == "tests/test_toy.py::test_twice"
    assert not try_fault(UNSEEN, toy, until="targeted").good
    assert "return 2 * x" in (toy / "toy.py").read_text(), "the sound tree stays sound"


def test_benign_changes_pass_and_a_fault_among_them_is_found(toy):
    assert all(found.good for found in try_together([RENAMED], toy, until="targeted"))
    slipped_in = replace(HALF, benign=True)
    assert [found.good for found in try_together([RENAMED, slipped_in], toy, until="targeted")] == [True, False]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"before": "return 3 * x"}, "found it 0 times"),
        ({"before": "return"}, "found it 2 times"),
        ({"after": "return ("}, "half: "),
        ({"tests": ("tests/test_gone.py",)}, "tests/test_gone.py"),
    ],
)
def test_a_fault_of_another_tree_is_told(toy, change, complaint):
    assert HALF.complaint(toy) is None
    assert complaint in replace(HALF, **change).complaint(toy)


QUICK_TEST, SLOW_TEST = "tests/unit/test_events.py::test_x", "tests/integration/test_run_killed.py::test_y"


def rows(*tests, benign=False):
    outcomes = [
        Outcome(replace(HALF, name=f"{benign} {i}", benign=benign), "all" if test else "escaped", test, 1.0)
        for i, test in enumerate(tests)
    ]
    return [table.row(outcome, tree="abc", until="all") for outcome in outcomes]


@pytest.mark.parametrize(
    ("found", "enough"),
    [
        (rows(*[QUICK_TEST] * 19, None), True),
        (rows(*[QUICK_TEST] * 18, None, None), False),
        (rows(*[QUICK_TEST] * 16, *[SLOW_TEST] * 4), True),
        (rows(*[QUICK_TEST] * 15, *[SLOW_TEST] * 5), False),
        (rows(QUICK_TEST) + rows(QUICK_TEST, benign=True), False),
    ],
)
def test_the_goals_are_those_of_the_promise(found, enough):
    assert table.met(table.summary(found)) is enough


@pytest.mark.parametrize(
    ("test", "quickly"),
    [(QUICK_TEST, True), (SLOW_TEST, False), ("tests/unit/test_benchmark_dp_sgd.py::test_z", False), (None, False)],
)
def test_which_tests_take_under_two_minutes(test, quickly):
    assert is_quick(test) is quickly


def test_a_later_run_replaces_its_rows_and_what_is_no_fault_any_more_goes(tmp_path):
    file, faults = tmp_path / "rows.json", [replace(HALF, name="False 0"), replace(HALF, name="False 1")]
    assert table.read(None) == table.read(file) == []
    table.write(file, rows(None, QUICK_TEST, SLOW_TEST))
    again = table.merged(table.read(file), rows(SLOW_TEST), faults)
    assert [(line["fault"], line["test"]) for line in again] == [("False 0", SLOW_TEST), ("False 1", QUICK_TEST)]


def test_the_page_says_what_escaped_and_why():
    found = rows(None, QUICK_TEST)
    text = table.as_markdown(found, [replace(HALF, name="False 0", escapes="because.")])
    assert "| toy | 2 | 1 (50%) | 1 (50%) |" in text
    assert "- `False 0` (tried: all): because." in text
    page = table.put_into(f"# Top\n{table.BEGIN}\nold\n{table.END}\nBottom\n", text)
    assert page.startswith("# Top\n")
    assert page.endswith("\nBottom\n")
    assert "old" not in page
    with pytest.raises(ValueError, match="must have the lines"):
        table.put_into("no marks", text)
