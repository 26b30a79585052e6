"""The data owner's ledger: the total of all runs never passes the cap, whoever reserves at the same time."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from fractions import Fraction

import pytest

from dpgen import storage
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget
from dpgen.errors import BudgetExceeded, CapExceeded, InvalidValue, LedgerError, PrivacyError, StorageError
from dpgen.ledger import OwnerLedger

CAP = Budget(epsilon=1.0, delta=1e-5, relation=ADD_OR_REMOVE_ONE)


def reserve(ledger: OwnerLedger, run: str, epsilon: float = 0.1, delta: float = 1e-6) -> None:
    ledger.reserve(run, epsilon, delta, ADD_OR_REMOVE_ONE)


def test_ten_tenths_are_one_and_an_eleventh_is_too_much(tmp_path):
    ledger = OwnerLedger.create(tmp_path / "owner.jsonl", CAP)
    for i in range(10):
        reserve(ledger, f"run {i}")
    assert ledger.total() == (1.0, 1e-5)
    before = (tmp_path / "owner.jsonl").read_bytes()
    with pytest.raises(CapExceeded, match=r"'one more'.*epsilon=1\.1,.*cap is epsilon=1,.*Nothing was read") as caught:
        reserve(ledger, "one more")
    assert isinstance(caught.value, BudgetExceeded)
    assert (caught.value.spent, caught.value.requested, caught.value.budget) == (1.0, 1.1, CAP)
    assert (tmp_path / "owner.jsonl").read_bytes() == before


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0000000000000002, 1e-6), (0.5, 1.0000000000000002e-5)])
def test_the_smallest_excess_of_either_number_is_refused(tmp_path, epsilon, delta):
    ledger = OwnerLedger.create(tmp_path / "owner.jsonl", CAP)
    with pytest.raises(CapExceeded):
        reserve(ledger, "run", epsilon, delta)
    assert ledger.total() == (0.0, 0.0)
    reserve(ledger, "run", 1.0, 1e-5)


def test_small_runs_are_not_lost_beside_large_ones(tmp_path):
    """In floating point 1e16 + 1 = 1e16: a sum of floats would let any number of such runs pass."""
    ledger = OwnerLedger.create(tmp_path / "owner.jsonl", Budget(1e16, 0.5, ADD_OR_REMOVE_ONE))
    reserve(ledger, "large", 1e16, 1e-9)
    with pytest.raises(CapExceeded):
        reserve(ledger, "small", 1.0, 1e-9)


def test_the_total_is_rounded_up(tmp_path):
    ledger = OwnerLedger(tmp_path / "owner.jsonl")
    reserve(ledger, "a", 1.0, 1e-9)
    reserve(ledger, "b", 1e-17, 1e-9)
    assert Fraction(ledger.total().epsilon) > 1
    assert ledger.total().epsilon == 1.0000000000000002


def test_without_caps_it_only_adds_up(tmp_path):
    ledger = OwnerLedger(tmp_path / "new" / "owner.jsonl")
    assert ledger.total() == (0.0, 0.0)
    reserve(ledger, "a", 10.0, 1e-5)
    reserve(ledger, "b", 20.0, 1e-6)
    assert ledger.total() == (30.0, 1.1e-5)


def test_the_same_run_counts_once(tmp_path):
    ledger = OwnerLedger.create(tmp_path / "owner.jsonl", CAP)
    reserve(ledger, "run", 1.0)
    reserve(ledger, "run", 1.0)
    assert ledger.total().epsilon == 1.0
    with pytest.raises(LedgerError, match=r"'run' to cost epsilon=1\.0.*found epsilon=0\.5"):
        reserve(ledger, "run", 0.5)
    assert ledger.total().epsilon == 1.0


def test_relations_do_not_mix(tmp_path):
    ledger = OwnerLedger(tmp_path / "owner.jsonl")
    reserve(ledger, "run")
    with pytest.raises(PrivacyError, match="do not add up"):
        ledger.reserve("other", 0.1, 1e-6, REPLACE_ONE)
    assert ledger.total().epsilon == 0.1


@pytest.mark.parametrize(
    ("run", "epsilon", "delta"),
    [("", 0.1, 1e-6), ("a\nb", 0.1, 1e-6), ("a", 0.0, 1e-6), ("a", -1.0, 1e-6), ("a", 0.1, 0.0), ("a", 0.1, 1.0)],
)
def test_senseless_numbers_write_nothing(tmp_path, run, epsilon, delta):
    with pytest.raises(InvalidValue):
        reserve(OwnerLedger(tmp_path / "owner.jsonl"), run, epsilon, delta)
    assert not list(tmp_path.iterdir())


def test_created_twice(tmp_path):
    path = tmp_path / "owner.jsonl"
    reserve(OwnerLedger.create(path, CAP), "run")
    assert OwnerLedger.create(path, CAP).total().epsilon == 0.1
    with pytest.raises(LedgerError, match="other caps"):
        OwnerLedger.create(path, Budget(2.0, 1e-5, ADD_OR_REMOVE_ONE))
    reserve(OwnerLedger(tmp_path / "free"), "run")
    with pytest.raises(LedgerError, match="or none"):
        OwnerLedger.create(tmp_path / "free", CAP)


def test_altered_or_foreign_files_are_refused(tmp_path):
    path = tmp_path / "owner.jsonl"
    ledger = OwnerLedger.create(path, CAP)
    reserve(ledger, "a")
    reserve(ledger, "b")
    whole = path.read_bytes()
    for altered in (whole.replace(b'"epsilon": 0.1', b'"epsilon": 0.0', 1), whole.replace(b"1.0", b"9.0", 1), b"{}\n"):
        assert altered != whole
        path.write_bytes(altered)
        with pytest.raises(LedgerError):
            ledger.total()
        with pytest.raises(LedgerError):
            reserve(ledger, "c")
    _write_header(path, {"type": "header", "format": 1})
    with pytest.raises(LedgerError, match="another kind of file"):
        ledger.total()


def _write_header(path, entry: dict) -> None:
    path.write_text(json.dumps({"previous": "0" * 64} | entry) + "\n")


def test_a_failed_write_reserves_nothing(tmp_path):
    ledger = OwnerLedger.create(tmp_path / "owner.jsonl", CAP)
    before = (tmp_path / "owner.jsonl").read_bytes()

    def full(operation: str, _: object) -> None:
        if operation == "fsync":
            raise OSError(errno.ENOSPC, "no space left")

    with storage.failing(full), pytest.raises(StorageError):
        reserve(ledger, "run")
    assert (tmp_path / "owner.jsonl").read_bytes() == before
    reserve(ledger, "run")


def test_cut_at_every_byte_of_the_last_line(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    path = tmp_path / "owner.jsonl"
    ledger = OwnerLedger.create(path, CAP)
    reserve(ledger, "a", 0.7)
    size = path.stat().st_size
    reserve(ledger, "b", 0.3)
    whole = path.read_bytes()
    for cut in range(size, len(whole)):
        path.write_bytes(whole[:cut])
        after_the_crash = OwnerLedger(path)
        assert after_the_crash.total().epsilon == 0.7
        reserve(after_the_crash, "b", 0.3)
        assert path.read_bytes() == whole


def test_waits_for_others_and_says_so_in_the_end(tmp_path):
    path = tmp_path / "owner.jsonl"
    with storage.FileLock(tmp_path / ".owner.jsonl.lock"), pytest.raises(LedgerError, match="in use by process"):
        reserve(OwnerLedger(path, wait=0.05), "run")
    reserve(OwnerLedger(path, wait=0.05), "run")


RESERVE = """
import sys
from pathlib import Path
from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.errors import CapExceeded
from dpgen.ledger import OwnerLedger
ledger, name = OwnerLedger(Path(sys.argv[1])), sys.argv[2]
for i in range(10):
    try:
        ledger.reserve(f"{name} {i}", 0.1, 1e-9, ADD_OR_REMOVE_ONE)
        print("reserved")
    except CapExceeded:
        print("refused")
"""


def test_four_processes_never_pass_the_cap(tmp_path):
    path = tmp_path / "owner.jsonl"
    ledger = OwnerLedger.create(path, Budget(2.5, 1e-5, ADD_OR_REMOVE_ONE))
    children = [
        subprocess.Popen([sys.executable, "-c", RESERVE, str(path), name], stdout=subprocess.PIPE, text=True)
        for name in "abcd"
    ]
    answers = [answer for child in children for answer in child.communicate()[0].split()]
    assert all(child.returncode == 0 for child in children)
    assert (answers.count("reserved"), answers.count("refused")) == (25, 15)
    assert ledger.total() == (2.5, 2.5e-8)


MANY = """
import sys
from pathlib import Path
from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.errors import CapExceeded
from dpgen.ledger import OwnerLedger
ledger, name, reserved = OwnerLedger(Path(sys.argv[1]), wait=600), sys.argv[2], 0
for i in range(int(sys.argv[3])):
    try:
        ledger.reserve(f"{name} {i}", 0.1, 1e-9, ADD_OR_REMOVE_ONE)
        reserved += 1
    except CapExceeded:
        pass
print(reserved)
"""


@pytest.mark.parametrize(("processes", "runs"), [(4, 25), pytest.param(16, 1000, marks=pytest.mark.slow)])
def test_many_processes_lose_nothing_and_never_pass_the_cap(tmp_path, processes, runs):
    path, allowed = tmp_path / "owner.jsonl", processes * runs - runs // 2
    ledger = OwnerLedger.create(path, Budget(allowed / 10, 0.5, ADD_OR_REMOVE_ONE))
    command = [sys.executable, "-c", MANY, str(path)]
    children = [
        subprocess.Popen([*command, str(number), str(runs)], stdout=subprocess.PIPE, text=True)
        for number in range(processes)
    ]
    assert sum(int(child.communicate()[0]) for child in children) == allowed
    lines = path.read_bytes().splitlines()
    assert len(lines) == allowed + 1
    assert len({json.loads(line)["run"] for line in lines[1:]}) == allowed
    assert ledger.total().epsilon == allowed / 10


def test_only_new_lines_are_decoded(tmp_path, monkeypatch):
    """What makes a long ledger quick: each line is decoded once by each object, and compared after that."""
    from dpgen.ledger import chain

    decoded = []
    real = chain.parse_json
    monkeypatch.setattr(chain, "parse_json", lambda line: decoded.append(line) or real(line))
    first, second = OwnerLedger(tmp_path / "owner.jsonl"), OwnerLedger(tmp_path / "owner.jsonl")
    for i in range(10):
        reserve(first, f"first {i}")
        reserve(second, f"second {i}")
    assert len(decoded) == 1 + 10 + 9  # the header by the other one, and each other's lines


def test_a_known_line_that_was_altered_is_found(tmp_path):
    path = tmp_path / "owner.jsonl"
    ledger = OwnerLedger(path)
    reserve(ledger, "a")
    reserve(ledger, "b")
    path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2", 1))
    with pytest.raises(LedgerError, match="begin with the 3 lines"):
        reserve(ledger, "c")
