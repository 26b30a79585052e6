"""Whole runs whose synthetic images have the classes in given or in counted shares."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

import dpgen
from dpgen.config import overridden, validated
from dpgen.config.tables import Config
from dpgen.errors import ConfigError
from dpgen.pipeline import prepare
from dpgen.plugins.registry import Registry

TINY = {"network": {"base": 4}, "finetune": {"steps": 2, "expected_batch": 16}, "sampler": {"steps": 2}}


def made(out: Path, *overrides: str, method: str = "dpdm", resume: bool = False) -> dpgen.Synthesizer:
    return dpgen.synthesize(
        "digits",
        epsilon=8.0,
        method=method,
        public=None,
        settings=TINY,
        count=60,
        out=out,
        overrides=overrides,
        resume=resume,
    )


def numbers(synthetic: dpgen.SyntheticDataset) -> list[int]:
    return synthetic.labels.bincount(minlength=10).tolist()


def test_counted_shares_are_charged_followed_and_kept(tmp_path: Path) -> None:
    run = made(tmp_path / "run", "labels.prior=counted", "labels.budget_share=0.1")
    assert [charge.label for charge in run.record.charges] == ["class-counts", "finetune"]
    assert run.guarantee.epsilon_upper <= 8.0
    assert run.guarantee.epsilon_upper > 7.99, "no part of the budget is set aside for nothing"
    table = json.loads((tmp_path / "run" / "release" / "class_counts.json").read_text())["class"]
    expected = [60 * row["share_percent"] / 100 for row in table.values()]
    assert all(abs(n - e) < 2 for n, e in zip(numbers(run.synthetic), expected, strict=True))
    assert len(run.synthetic) == 60
    more = numbers(run.sample(600, seed=1))
    assert all(abs(n - 10 * e) < 2 for n, e in zip(more, expected, strict=True))
    again = made(tmp_path / "run", "labels.prior=counted", "labels.budget_share=0.1", resume=True)
    assert again.record == run.record


def test_given_shares_cost_nothing(tmp_path: Path) -> None:
    shares = "labels.prior=[1, 1, 1, 1, 1, 1, 1, 1, 1, 11]"
    run = made(tmp_path / "run", shares)
    assert [charge.label for charge in run.record.charges] == ["finetune"]
    assert numbers(run.synthetic) == [3] * 9 + [33]
    assert numbers(dpgen.Synthesizer.load(tmp_path / "run").sample(40, seed=0)) == [2] * 9 + [22]


CONFIG = """
[privacy]
epsilon = 8.0
[data]
private = "digits"
[method]
name = "dpdm"
[run]
name = "prior"
"""


def prepared(*overrides: str) -> object:
    config = validated(Config, overridden(tomllib.loads(CONFIG), overrides), name="the test")
    return prepare(config, Registry.installed(only=["builtin", "diffusion"]))


@pytest.mark.parametrize("prior", ["[1, 2]", "[0, 1, 1, 1, 1, 1, 1, 1, 1, 1]"])
def test_shares_that_do_not_fit_the_classes_are_refused(prior: str) -> None:
    with pytest.raises(ConfigError, match=r"labels\.prior"):
        prepared(f"labels.prior={prior}")


def test_the_others_keep_what_the_counts_leave() -> None:
    even, counted = prepared(), prepared("labels.prior=counted")
    assert [charge.label for charge in counted.fitting.charges] == ["finetune"]
    assert counted.prices[-1].cumulative_epsilon <= 8.0
    assert counted.prices[-1].cumulative_epsilon > 7.99
    more = counted.prices[-1].noise_multiplier / even.prices[-1].noise_multiplier
    assert 1.0 < more < 1.01
