"""`dpgen plan` on the settings of the paper gives the published noise multipliers, on a machine without the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpgen.accountants import noise_multiplier
from dpgen.config import load
from dpgen.pipeline import prepare
from dpgen.plugins.registry import Registry

CONFIG = Path(__file__).parents[2] / "benchmarks" / "configs" / "paper_mnist.toml"


@pytest.mark.parametrize(("epsilon", "published"), [(1.0, 14.55), (10.0, 1.994)])
def test_the_plan_reproduces_the_published_noise(epsilon: float, published: float) -> None:
    config = load(CONFIG, [f"privacy.epsilon={epsilon}"])
    plan = prepare(config, Registry.installed(only=["builtin", "diffusion"]), data_at_hand=False).plan
    assert noise_multiplier(plan["finetune"]) == pytest.approx(published, rel=5e-4)
