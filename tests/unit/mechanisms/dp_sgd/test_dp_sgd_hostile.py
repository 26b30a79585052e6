"""What a hostile reader tries on the gradient sum: ends of float32, NaN next door, weights that learn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dpgen.errors import DataError, InvalidValue, PrivacyError
from dpgen.mechanisms.discreet import discreet
from dpgen.mechanisms.dp_sgd import DpSgd, clipped_gradient_sum
from dpgen.mechanisms.dp_sgd.reductions import row_norms


def _length(total: dict[str, Tensor]) -> float:
    return float(torch.cat([t.double().flatten() for t in total.values()]).norm())


@pytest.mark.parametrize(("gradient", "pixel"), [(2.5e-23, 5e17), (5e17, 2.5e-23), (1e-22, 1e17), (1e-30, 1e-30)])
def test_an_outer_product_of_numbers_whose_squares_vanish_stays_within_the_clip_norm(
    gradient: float, pixel: float
) -> None:
    # Norms from squares in float32 let the first of these pass 12.8 times.
    module = nn.Linear(1024, 1024, bias=False)

    def loss(module: nn.Module, x: Tensor) -> Tensor:
        return (module(x) * gradient).sum(1)

    found = clipped_gradient_sum(module, loss, (torch.full((1, 1024), pixel),), views=1, clip_norm=1e-3)
    assert _length(found.sum) <= 1e-3 * (1 + 1e-6)
    assert float(found.norms) == pytest.approx(gradient * pixel * 1024, rel=1e-6, abs=1e-40)


def test_an_outer_product_too_long_to_square_counts_as_not_finite() -> None:
    module = nn.Linear(64, 64, bias=False)

    def loss(module: nn.Module, x: Tensor) -> Tensor:
        return (module(x) * 1e-25).sum(1)

    found = clipped_gradient_sum(module, loss, (torch.full((1, 64), 1e20),), views=1, clip_norm=1.0)
    assert not found.norms.isfinite().any()
    assert _length(found.sum) == 0


@pytest.mark.parametrize("size", [1, 255, 256, 511, 1000, 2047, 4097, 1 << 20])
@pytest.mark.parametrize("head", [1.0, 1e4])
def test_norms_lose_less_than_the_tolerance_of_the_clip_to_small_numbers_beside_large_sums(
    size: int, head: float
) -> None:
    # One block of 2,047 equal numbers lost 1.9e-6.
    values = torch.linspace(0.5, 1.5, 40 if size < 1e5 else 3)
    rows = values[:, None].repeat(1, size)
    rows[:, ::256] *= head
    assert float((rows.double().norm(dim=1) / row_norms(rows).double() - 1).abs().max()) < 6e-7


@pytest.mark.parametrize("bound", [{"clip_norm": 1e-30}, {"normalising_stability": 1e-30}])
def test_bounds_that_vanishing_norms_could_pass_are_refused(bound: dict[str, float]) -> None:
    module, settings = nn.Linear(2, 1), {"clip_norm": 1.0} | bound
    with pytest.raises(InvalidValue, match="must be >= 1e-10"):
        clipped_gradient_sum(module, lambda m, x: m(x)[:, 0], (torch.ones(1, 2),), views=1, **settings)
    with pytest.raises(InvalidValue, match="must be >= 1e-10"):
        DpSgd(
            module=module,
            inputs=lambda images, labels, *, views, random: (images,),
            loss=lambda m, x: m(x)[:, 0],
            noise_multiplier=1.0,
            sampling_probability=0.1,
            steps=1,
            nominal_records=10,
            optimizer=torch.optim.SGD,
            **settings,
        )


def test_an_example_that_a_kernel_spoils_for_its_neighbours_takes_nothing_from_them() -> None:
    # So do bfloat16 products on CPUs with AMX: what lies behind a row is multiplied by zero.
    module, x = nn.Linear(3, 1), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))

    def loss(module: nn.Module, x: Tensor) -> Tensor:
        return (module(x + 0 * x.roll(1, 0)) ** 2)[:, 0]

    spoilt = x.clone()
    spoilt[1] = torch.nan
    without = torch.tensor([True, False, True, True])
    expected = clipped_gradient_sum(module, loss, (x,), views=1, clip_norm=0.1, mask=without)
    found = clipped_gradient_sum(module, loss, (spoilt,), views=1, clip_norm=0.1)
    assert found.norms.isfinite().tolist() == without.tolist()
    for name, total in expected.sum.items():
        torch.testing.assert_close(found.sum[name], total)
    masked = clipped_gradient_sum(module, loss, (spoilt,), views=1, clip_norm=0.1, mask=without)
    for name, total in expected.sum.items():
        torch.testing.assert_close(masked.sum[name], total)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_no_row_of_a_product_is_spoilt_by_the_row_behind_it(precision: torch.dtype) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(9, 60), nn.LayerNorm(60), nn.Linear(60, 70))

    def loss(module: nn.Module, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=precision, enabled=precision is not torch.float32):
            return module(x).flatten(1).square().mean(1)

    x = torch.randn(4, 5, 9)
    x[1] = torch.nan
    found = clipped_gradient_sum(module, loss, (x,), views=1, clip_norm=0.1)
    assert found.norms.isfinite().tolist() == [True, False, True, True]


class _Learns(nn.Module):
    """A codebook that is a frozen parameter and follows the data, as vector quantisers have it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.codes = nn.Parameter(torch.zeros(3), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.codes.lerp_(x.mean(0), 0.1)
        result: Tensor = self.layer(x).sum(1)
        return result


def test_a_frozen_weight_that_learns_from_the_records_is_refused() -> None:
    with pytest.raises(PrivacyError, match="nor weights past the noise"):
        clipped_gradient_sum(_Learns(), lambda m, x: m(x), (torch.ones(2, 3),), views=1, clip_norm=1.0)


class _Block(nn.Module):
    """A replayed weight within a checkpoint (`torch.utils.checkpoint`), or under `no_grad`, or neither."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.inner, self.last, self.way = nn.Linear(64, 64), nn.Linear(64, 3), way

    def forward(self, x: Tensor) -> Tensor:
        hidden = checkpoint(self._hidden, x, use_reentrant=False) if self.way == "checkpoint" else self._hidden(x)
        if self.way == "no_grad":
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                target = self.inner(x)
            hidden = hidden + 0 * target
        result: Tensor = self.last(hidden).sum(1)
        return result

    def _hidden(self, x: Tensor) -> Tensor:
        return self.inner(x).relu()


@pytest.mark.parametrize("way", ["checkpoint", "no_grad"])
def test_a_replayed_weight_may_be_recomputed_or_used_without_gradient(way: str) -> None:
    torch.manual_seed(0)
    plain, x = _Block("plain"), torch.randn(5, 64)
    module = _Block(way)
    module.load_state_dict(plain.state_dict())
    sums = [clipped_gradient_sum(m, lambda m, x: m(x) ** 2, (x,), views=1, clip_norm=0.1).sum for m in (plain, module)]
    for name, total in sums[0].items():
        torch.testing.assert_close(sums[1][name], total)


@pytest.mark.parametrize("mask", [torch.ones(1, dtype=torch.bool), torch.ones(4, 1, dtype=torch.bool), torch.ones(4)])
def test_a_mask_that_is_not_one_bool_an_example_is_refused(mask: Tensor) -> None:
    with pytest.raises(DataError, match="mask must be bool"):
        clipped_gradient_sum(
            nn.Linear(2, 1), lambda m, x: m(x)[:, 0], (torch.ones(4, 2),), views=1, clip_norm=1.0, mask=mask
        )


@pytest.mark.parametrize("error", [KeyError(4242), AssertionError("label 4242"), TypeError("bad 4242")])
def test_no_kind_of_error_quotes_a_record(error: Exception) -> None:
    with pytest.raises(DataError) as caught, discreet("loss"):
        raise error
    assert "4242" not in str(caught.value)
    assert caught.value.__suppress_context__
