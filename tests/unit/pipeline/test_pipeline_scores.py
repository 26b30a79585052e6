"""What a stopped run does not do twice: fit what is fitted, and open the private test split."""

from __future__ import annotations

import json
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch

from dpgen.data.datasets import SyntheticDataset
from dpgen.mechanisms import RunContext
from dpgen.pipeline.folder import RunFolder

module = import_module("dpgen.pipeline.run")  # `dpgen.pipeline.run` is the function
SYNTHETIC = SyntheticDataset(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), ("a", "b"))


def test_a_resumed_run_takes_the_scores_that_are_there(tmp_path, monkeypatch):
    def opened_again(*arguments, **options):
        pytest.fail("the test split would be opened a second time")

    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        folder.scores.write_text(json.dumps({"scores": [1.0]}))
    monkeypatch.setattr(module, "TestSplit", opened_again)
    found = module._evaluate(SimpleNamespace(), SimpleNamespace(test=object()), SYNTHETIC, folder)
    assert found == {"scores": [1.0]}


def test_without_a_test_split_there_are_no_scores(tmp_path):
    assert module._evaluate(SimpleNamespace(), SimpleNamespace(test=None), SYNTHETIC, RunFolder(tmp_path)) is None


def test_a_resumed_run_takes_the_fitted_state_that_is_there():
    calls = []
    generator = SimpleNamespace(
        fit=lambda *arguments: calls.append("fit"),
        state_dict=lambda: {"weight": torch.ones(2)},
        load_state_dict=lambda state, task: calls.append(state["weight"].tolist()),
    )
    prepared = SimpleNamespace(generator=generator, fitting=None, task=None)
    opened = SimpleNamespace(private=None, public=None, context=RunContext())
    module._fit(prepared, opened)
    module._fit(prepared, opened)
    assert calls == ["fit", [1.0, 1.0]]
