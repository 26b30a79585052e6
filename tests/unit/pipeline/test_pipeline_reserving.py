"""Reserving a run's budget with the data owner: the whole budget, once, and what a refusal leaves behind."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.errors import CapExceeded
from dpgen.ledger import OwnerLedger
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.opening import _reserve

BUDGET = Budget(3.0, 1e-6, ADD_OR_REMOVE_ONE)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        folder.begin({}, iter([memoryview(b"pixels")]), name="toy", key=bytes(32))
    return folder


def asking(ledger):
    privacy = SimpleNamespace(ledger=ledger and str(ledger), ledger_epsilon=None, ledger_delta=None)
    return SimpleNamespace(budget=BUDGET, config=SimpleNamespace(privacy=privacy))


def test_the_whole_budget_counts_once_however_often_the_run_is_resumed(tmp_path, folder):
    for fresh in (True, False, False):
        _reserve(asking(tmp_path / "owner"), folder, fresh=fresh)
    assert OwnerLedger(tmp_path / "owner").total() == (3.0, 1e-6)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_refusal_undoes_a_fresh_run_and_leaves_a_resumed_one_as_it_was(tmp_path, folder, fresh):
    """A resumed run may have charged something: without its settings and key it could never be finished."""
    owner = OwnerLedger.create(tmp_path / "owner", Budget(5.0, 1e-4, ADD_OR_REMOVE_ONE))
    owner.reserve("another", 4.0, 1e-6, ADD_OR_REMOVE_ONE)
    with pytest.raises(CapExceeded):
        _reserve(asking(tmp_path / "owner"), folder, fresh=fresh)
    assert folder.begun is not fresh
    assert (folder.internal / "run.key").exists() is not fresh
    assert owner.total() == (4.0, 1e-6)


def test_no_ledger_is_kept_unasked(tmp_path, folder):
    before = set(tmp_path.rglob("*"))
    _reserve(asking(None), folder, fresh=True)
    assert set(tmp_path.rglob("*")) == before
