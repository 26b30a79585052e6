"""What the grid of prv adds for its own errors: theorem 5.5 for the mesh, an estimate for the rounding."""

from __future__ import annotations

import math

import pytest

from dpgen.accountants.prv import grid as module
from dpgen.accountants.prv.grid import Grid, delta_interval, epsilon_interval
from dpgen.accountants.prv.privacy_loss import GaussianLoss

DELTA = 1e-5
LOSSES = [(GaussianLoss(0.25), 10)]


def grid(total: int = 10, epsilon_error: float = 0.05) -> Grid:
    found = Grid.fit(lambda delta_error: 8.0, delta=DELTA, total=total, distinct=1, epsilon_error=epsilon_error)
    assert found is not None
    return found


@pytest.mark.parametrize("total", [1, 10, 5000])
def test_the_mesh_is_as_wide_as_hoeffding_allows_and_no_wider(total: int) -> None:
    """Each of `total` losses is off by at most mesh / 2 and by 0 on average; theorem 5.5 grants delta_error / 6."""
    found = grid(total)
    beyond = 2 * math.exp(-2 * found.epsilon_error**2 / (total * found.mesh**2))
    assert beyond == pytest.approx(found.delta_error / 6, rel=1e-9)
    assert found.delta_error <= DELTA * 1e-3
    assert found.half * found.mesh >= 8.0 + found.epsilon_error


def test_a_grid_of_too_many_cells_gets_a_wider_error_or_none() -> None:
    wide = grid(10**7, 0.05)
    assert wide.epsilon_error > 0.05
    assert 2 * wide.half + 2 <= 1.01 * 2**20
    assert Grid.fit(lambda delta_error: 8.0, delta=DELTA, total=10**12, distinct=1, epsilon_error=0.05) is None


@pytest.mark.parametrize("ask", [epsilon_interval, delta_interval])
def test_the_rounding_of_the_transforms_widens_both_ends(monkeypatch: pytest.MonkeyPatch, ask) -> None:
    def found(rounding: float) -> tuple[float, float, float] | None:
        monkeypatch.setattr(module, "_fourier_rounding", lambda masses, transforms: rounding)
        return ask(grid(), LOSSES, DELTA if ask is epsilon_interval else 3.0)

    exact, rounded = found(0.0), found(DELTA / 8)
    assert exact is not None
    assert rounded is not None
    assert rounded[1] == exact[1]
    assert rounded[0] < exact[0]
    assert rounded[2] > exact[2]
    if ask is delta_interval:
        assert rounded[2] - exact[2] == pytest.approx(DELTA / 8, rel=1e-6)


def test_a_rounding_that_weighs_against_delta_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_fourier_rounding", lambda masses, transforms: DELTA / 3)
    assert epsilon_interval(grid(), LOSSES, DELTA) is None
