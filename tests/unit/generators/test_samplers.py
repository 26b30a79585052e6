"""Against the exact solution for Gaussian data: D(x; sigma) = x s^2 / (s^2 + sigma^2)."""

from __future__ import annotations

import math

import pytest
import torch

from dpgen.errors import InvalidValue
from dpgen.generators.samplers import Churn, noise_levels, sample_ddim, sample_heun
from dpgen.noise import PublicRows

DATA = 0.5
LABELS = torch.zeros(2000, dtype=torch.int64)


def ideal(x: torch.Tensor, level: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return x * DATA**2 / (DATA**2 + level[:, None, None, None] ** 2)


def exact(noise: torch.Tensor, highest: float) -> torch.Tensor:
    return noise * highest * DATA / math.sqrt(DATA**2 + highest**2)  # the flow scales every point alike


def error(sampler: object, steps: int) -> float:
    noise = torch.randn(2000, 1, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    out = sampler(ideal, noise, LABELS, levels=noise_levels(steps, lowest=0.01, highest=20.0))  # type: ignore[operator]
    return float((out - exact(noise, 20.0)).abs().max())


def test_levels_fall_from_the_highest_to_zero() -> None:
    levels = noise_levels(10, lowest=0.01, highest=20.0, rho=5.0)
    assert levels[0] == pytest.approx(20)
    assert levels[-2] == pytest.approx(0.01)
    assert levels[-1] == 0
    assert (levels[:-1] > levels[1:]).all()


def test_orders_of_convergence() -> None:
    assert 1.7 < error(sample_ddim, 40) / error(sample_ddim, 80) < 2.3  # first order halves
    assert error(sample_heun, 40) / error(sample_heun, 80) > 3.5  # second order quarters
    assert error(sample_heun, 18) < error(sample_ddim, 36)  # at equal cost


def test_churn_keeps_the_law() -> None:
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(2000, 1, 1, 1, generator=generator)
    levels = noise_levels(40, lowest=0.01, highest=20.0)
    churn = Churn(amount=10, inflation=1.0)
    random = PublicRows(2000, generator, noise.device)
    out = sample_heun(ideal, noise, LABELS, levels=levels, churn=churn, random=random)
    still = sample_heun(ideal, noise, LABELS, levels=levels)
    assert not torch.allclose(out, still)
    assert float(out.std()) == pytest.approx(DATA, rel=0.08)  # 5 standard errors of a deviation from 2,000 draws


@pytest.mark.parametrize(
    "bad", [{"steps": 1}, {"steps": 4, "lowest": 0.0}, {"steps": 4, "lowest": 9.0, "highest": 1.0}]
)
def test_refuses_impossible_levels(bad: dict[str, float]) -> None:
    with pytest.raises(InvalidValue):
        noise_levels(**bad)  # type: ignore[arg-type]
