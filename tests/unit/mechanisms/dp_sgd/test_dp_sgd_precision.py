"""Norms and the scaled sum are taken in at least float32, whatever the weights and the surroundings are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dpgen.mechanisms.dp_sgd import gathered
from dpgen.mechanisms.dp_sgd.gradients import clipped_gradient_sum
from dpgen.mechanisms.dp_sgd.reductions import full_precision


def loss(module: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    return module(rows).float().square().sum(1)


def half_precision_module(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 3)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_are_summed_in_float32(dtype):
    module, rows = half_precision_module(dtype), torch.randn(5, 6, dtype=dtype)
    found = clipped_gradient_sum(module, loss, (rows,), views=1, clip_norm=0.1)
    assert {tensor.dtype for tensor in found.sum.values()} == {torch.float32}
    assert found.norms.dtype == torch.float32
    alone = clipped_gradient_sum(module, loss, (rows[:1],), views=1, clip_norm=0.1)
    length = torch.cat([tensor.flatten() for tensor in alone.sum.values()]).double().norm()
    assert float(length) == pytest.approx(0.1, rel=1e-5)


def test_neither_autocast_nor_tf32_reach_the_sum(monkeypatch):
    seen = []

    def spied(*arguments):
        seen.append((torch.get_float32_matmul_precision(), torch.is_autocast_enabled("cpu")))
        return original(*arguments)

    original = gathered.weighted_sum
    monkeypatch.setattr(gathered, "weighted_sum", spied)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            clipped_gradient_sum(nn.Linear(6, 3), loss, (torch.randn(5, 6),), views=1, clip_norm=0.1)
        assert torch.get_float32_matmul_precision() == "medium", "the caller's choice is put back"
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(seen) == {("highest", False)}


def test_the_callers_precision_comes_back_after_an_error_too():
    before = torch.get_float32_matmul_precision()
    with pytest.raises(ZeroDivisionError), full_precision("cpu"):
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == before
