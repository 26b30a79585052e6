"""`dpgen plan` on the settings of the paper gives the published noise multipliers, on a machine without the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpgen.accountants import noise_multiplier
from dpgen.config import load
from dpgen.pipeline import prepare
from dpgen.plugins.registry import Registry

CONFIG = Path(__file__).parents[2] / "benchmarks" / "configs" / "paper_mnist.toml"


ONE_CHARGE = ("dpdm", "pdp_diffusion", "dp_ldm", "dp_lora")
"""The methods that spend their whole budget on DP-SGD."""
PUBLISHED = {  # records, batches in an epoch, steps; noise multipliers at epsilon 1 and 10
    "mnist": (55_000, 14, 2100, 14.55, 1.994),
    "cifar10": (45_000, 11, 1650, 16.25, 2.205),
    "eurosat": (21_000, 6, 900, 21.10, 2.839),
    "celeba": (145_064, 36, 3600, 7.80, 1.200),
    "camelyon": (269_538, 66, 3300, 4.25, 0.839),
}


def planned_noise(*overrides: str) -> float:
    config = load(CONFIG, ["data.public=glyphs", *overrides])
    plan = prepare(config, Registry.installed(only=["builtin", "diffusion"]), data_at_hand=False).plan
    return noise_multiplier(plan["finetune"])


@pytest.mark.parametrize("method", ONE_CHARGE)
@pytest.mark.parametrize(("epsilon", "published"), [(1.0, 14.55), (10.0, 1.994)])
def test_the_plan_reproduces_the_published_noise(method: str, epsilon: float, published: float) -> None:
    found = planned_noise(f"method.name={method}", f"privacy.epsilon={epsilon}")
    assert found == pytest.approx(published, rel=5e-4)


@pytest.mark.parametrize("data", PUBLISHED)
def test_every_row_of_the_table(data: str) -> None:
    records, batches, steps, at_one, at_ten = PUBLISHED[data]
    sizes = (
        f"data.records={records}",
        f"method.finetune.expected_batch={records / batches}",
        f"method.finetune.steps={steps}",
        "method.name=pdp_diffusion",
    )
    assert planned_noise(*sizes, "privacy.epsilon=1.0") == pytest.approx(at_one, rel=1.5e-3)
    assert planned_noise(*sizes, "privacy.epsilon=10.0") == pytest.approx(at_ten, rel=1.5e-3)
