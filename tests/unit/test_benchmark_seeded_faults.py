"""The list of seeded faults fits the code as it is now, and its harness tells caught from escaped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("benchmarks.seeded_faults", reason="benchmarks are not part of the installed package")

from benchmarks.seeded_faults import table
from benchmarks.seeded_faults.fault import CORRECTNESS, Fault, all_faults
from benchmarks.seeded_faults.tree import ROOT
from benchmarks.seeded_faults.trial import NOT_COLLECTED, Outcome, first_failure, is_quick, try_fault, try_together

FAULTS = all_faults()
AREAS = {"accounting", "histogram", "dp_sgd", "sampler", "ledger", "pipeline", "plugin", "evaluation", "persistence",
         "distributed", "lipschitz_vae", "verification", CORRECTNESS}  # fmt: skip

HALF = Fault(
    name="half", area="toy", file="toy.py", before="return 2 * x", after="return x", tests=("tests/test_toy.py",)
)
CRASHING = replace(HALF, name="crashing", after="return x.doubled")
UNSEEN = replace(HALF, name="unseen", before="return 0", after="return 1")
RENAMED = replace(HALF, name="renamed", before="# twice", after="# two times", benign=True)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_fault_fits_the_code_as_it_is(fault):
    assert fault.complaint(ROOT) is None


def test_there_are_enough_faults_in_every_area():
    assert {fault.area for fault in FAULTS if not fault.benign} == AREAS
    assert sum(not fault.benign and fault.area != CORRECTNESS for fault in FAULTS) >= 90
    assert sum(fault.benign for fault in FAULTS) >= 10
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "tests").mkdir(parents=True)
    (tree / "toy.py").write_text("def twice(x):\n    return 2 * x  # twice\n\n\ndef zero():\n    return 0\n")
    (tree / "pytest.ini").write_text("[pytest]\naddopts = -q\n")  # as the project has it
    (tree / "tests" / "test_toy.py").write_text(
        "from toy import twice\n\ndef test_twice():\n    assert twice(3) == 6\n"
    )
    return tree


def test_a_fault_is_caught_and_one_that_no_test_sees_escapes(toy):
    found = try_fault(HALF, toy, until="targeted")
    assert (found.stage, found.good) == ("targeted", True)
    assert (found.test, found.kind) == ("tests/test_toy.py::test_twice", "AssertionError")
    assert not try_fault(UNSEEN, toy, until="targeted").good
    assert "return 2 * x" in (toy / "toy.py").read_text(), "the sound tree stays sound"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "AttributeError"),
        ({"after": "return max(())"}, "ValueError"),
        ({"before": "def zero", "after": "import gone\n\n\ndef zero"}, NOT_COLLECTED),
    ],
)
def test_a_fault_that_only_crashes_is_not_caught(toy, change, kind):
    found = try_fault(replace(CRASHING, **change), toy, until="all")
    assert (found.stage, found.kind, found.good) == ("crashed", kind, False)
    total = table.summary([table.row(found, tree="abc", until="all")], [found.fault])
    assert (total["caught"], total["crashed"], table.met(total)) == (0, 1, False)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        ("pytest.raises(ValueError)", "Failed"),  # nothing is raised
        ("pytest.raises(ValueError, match='more'), twice.refused()", "AssertionError"),  # no such words
    ],
)
def test_a_test_that_expects_an_error_fails_without_a_crash(toy, raised, kind):
    (toy / "tests" / "test_toy.py").write_text(
        "import pytest\nfrom contextlib import contextmanager\nimport toy\n\n"
        "class twice:\n    @staticmethod\n    @contextmanager\n    def refused():\n"
        "        yield\n        raise ValueError('less')\n\n"
        f"def test_{'long_' * 20}name():\n    with {raised}:\n        assert toy.twice(3) in (3, 6)\n"
    )
    failed = first_failure(toy, ["tests"])
    assert failed is not None
    assert (failed.kind, failed.is_crash) == (kind, False)


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


def named(count, *, benign=False, **change):
    return [replace(HALF, name=f"{benign} {i}", benign=benign, **change) for i in range(count)]


def rows(*tests, benign=False):
    outcomes = [
        Outcome(fault, "all" if test else "escaped", test, 1.0)
        for fault, test in zip(named(len(tests), benign=benign), tests, strict=True)
    ]
    return [table.row(outcome, tree="abc", until="all") for outcome in outcomes]


@pytest.mark.parametrize(
    ("found", "faults", "enough"),
    [
        (rows(*[QUICK_TEST] * 19, None), named(20), True),
        (rows(*[QUICK_TEST] * 18, None, None), named(20), False),
        (rows(*[QUICK_TEST] * 16, *[SLOW_TEST] * 4), named(20), True),
        (rows(*[QUICK_TEST] * 15, *[SLOW_TEST] * 5), named(20), False),
        (rows(QUICK_TEST), named(2), False),  # what was not tried is not caught
        (rows(QUICK_TEST) + rows(QUICK_TEST, benign=True), named(1) + named(1, benign=True), False),
    ],
)
def test_the_goals_are_those_of_the_promise(found, faults, enough):
    assert table.met(table.summary(found, faults)) is enough


def test_faults_of_correctness_are_counted_apart():
    faults = [HALF, replace(HALF, name="False 0", area=CORRECTNESS)]
    total = table.summary(rows(QUICK_TEST), faults)
    assert (total["faults"], total["caught"], total["correctness"], total["correctness_caught"]) == (1, 0, 1, 1)


@pytest.mark.parametrize(
    ("test", "quickly"),
    [(QUICK_TEST, True), (SLOW_TEST, False), ("tests/unit/test_benchmark_dp_sgd.py::test_z", False), (None, False)],
)
def test_which_tests_take_under_two_minutes(test, quickly):
    assert is_quick(test) is quickly


def test_a_later_run_replaces_its_rows_and_what_is_no_fault_any_more_goes(tmp_path):
    file, faults = tmp_path / "rows.json", named(2)
    assert table.read(None) == table.read(file) == []
    table.write(file, rows(None, QUICK_TEST, SLOW_TEST), faults)
    again = table.merged(table.read(file), rows(SLOW_TEST), faults)
    assert [(line["fault"], line["test"]) for line in again] == [("False 0", SLOW_TEST), ("False 1", QUICK_TEST)]
    rewritten = [faults[0], replace(faults[1], after="return 3 * x")]
    assert [line["fault"] for line in table.merged(again, [], rewritten)] == ["False 0"], "no row of another patch"


def test_the_page_says_what_escaped_and_why():
    found = rows(None, QUICK_TEST)
    faults = [*named(2, escapes="because.", note="small."), replace(HALF, name="new")]
    text = table.as_markdown(found, faults)
    assert "| toy | 3 | 1 (33%) | 1 (33%) |" in text
    assert "- `new`: not tried yet as it is now." in text
    assert "- `False 0`: small." in text
    assert "- `False 0` (tried: all): because." in text
    page = table.put_into(f"# Top\n{table.BEGIN}\nold\n{table.END}\nBottom\n", text)
    assert page.startswith("# Top\n")
    assert page.endswith("\nBottom\n")
    assert "old" not in page
    with pytest.raises(ValueError, match="must have the lines"):
        table.put_into("no marks", text)
