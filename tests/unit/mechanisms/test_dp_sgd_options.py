"""Views split over passes, normalising clipping, the notes of a plan; and what must never be done with views."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dpgen.errors import InvalidValue, PrivacyError
from dpgen.mechanisms.dp_sgd import clipped_gradient_sum, gradient_notes

CLIP = 0.1


class Small(nn.Module):
    """Stored, replayed, mapped, shared and unused weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.act = nn.PReLU(8)
        self.table = nn.Embedding(3, 8)
        self.wide = nn.Linear(8, 40)
        self.twin = nn.Linear(40, 40)
        self.unused = nn.Linear(200, 200)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        x = self.act(self.norm(self.conv(images))).mean((2, 3)) + self.table(labels)
        return self.twin(torch.tanh(self.twin(self.wide(x))))


def losses(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return module(images, labels).square().mean(1)


def batch(examples: int, views: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    torch.manual_seed(views)
    rows = examples * views
    return torch.randn(rows, 2, 5, 5, dtype=dtype), torch.randint(0, 3, (rows,))


def length(tensors) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


@pytest.mark.parametrize(("views", "per_pass"), [(1, 1), (3, 2), (4, 1), (4, 3), (32, 5), (32, 31), (4, 9)])
def test_views_split_over_passes_equal_one_pass(views, per_pass):
    mask = torch.tensor([True, True, False])
    for dtype, error in ((torch.float32, 2e-6), (torch.float64, 1e-12)):
        module, rows = Small().to(dtype), batch(3, views, dtype)
        whole = clipped_gradient_sum(module, losses, rows, views=views, clip_norm=CLIP, mask=mask)
        split = clipped_gradient_sum(
            module, losses, rows, views=views, clip_norm=CLIP, mask=mask, views_per_pass=per_pass
        )
        assert (whole.norms > CLIP).any()
        assert ((split.norms - whole.norms) / whole.norms).abs().max() <= error
        assert list(split.sum) == list(whole.sum)
        assert length(split.sum[n] - whole.sum[n] for n in whole.sum) <= error * length(whole.sum.values())


def test_split_views_of_a_poisoned_example_spoil_nobody():
    module, rows = Small(), batch(3, 4)
    mask = torch.tensor([True, False, True])
    clean = clipped_gradient_sum(module, losses, rows, views=4, clip_norm=CLIP, mask=mask, views_per_pass=3)
    rows[0][7] = math.inf
    found = clipped_gradient_sum(module, losses, rows, views=4, clip_norm=CLIP, views_per_pass=3)
    assert all(torch.equal(found.sum[n], clean.sum[n]) for n in clean.sum)


def test_at_most_so_many_rows_are_computed_at_once():
    seen = []

    def spying(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        seen.append(len(images))
        return losses(module, images, labels)

    clipped_gradient_sum(Small(), spying, batch(3, 8), views=8, clip_norm=CLIP, views_per_pass=3)
    assert seen == [9, 9, 6]


@pytest.mark.parametrize("stability", [1e-3, 0.01, 1.0])
def test_normalising_scales_every_example_by_its_norm(stability):
    module, rows = Small().double(), batch(3, 2, torch.float64)
    each = [tuple(t[2 * n : 2 * n + 2] for t in rows) for n in range(3)]
    expected: dict[str, Tensor] = {}
    for own in each:
        clipped = clipped_gradient_sum(module, losses, own, views=2, clip_norm=1e6)  # nothing clipped: the gradient
        for name, g in clipped.sum.items():
            expected[name] = expected.get(name, torch.zeros(())) + g * CLIP / (float(clipped.norms) + stability)
        alone = clipped_gradient_sum(module, losses, own, views=2, clip_norm=CLIP, normalising_stability=stability)
        assert length(alone.sum.values()) <= CLIP
    found = clipped_gradient_sum(module, losses, rows, views=2, clip_norm=CLIP, normalising_stability=stability)
    assert length(found.sum[n] - expected[n] for n in expected) <= 1e-12 * length(expected.values())


@pytest.mark.parametrize("wrong", [{"views_per_pass": 0}, {"normalising_stability": 0.0}])
def test_settings_out_of_range_are_refused_before_anything_runs(wrong):
    def never(module: nn.Module, *rows: Tensor) -> Tensor:
        raise AssertionError("ran")

    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        clipped_gradient_sum(Small(), never, batch(2, 2), views=2, clip_norm=CLIP, **wrong)


def test_a_loss_without_any_weight_gives_zeros():
    with pytest.raises((RuntimeError, PrivacyError)):  # autograd's own message: nothing requires a gradient
        clipped_gradient_sum(Small(), lambda m, x, y: x.flatten(1).sum(1), batch(2, 1), views=1, clip_norm=CLIP)


def test_the_notes_name_what_is_slower_than_training():
    module = nn.Sequential(nn.Linear(2, 2), nn.PReLU(), nn.LSTM(2, 2, batch_first=True))
    mapped, looped = gradient_notes(module)
    assert "1 (PReLU)" in mapped
    assert "torch.func" in mapped
    assert "2 (LSTM)" in looped
    assert "batches of one" in looped
    assert gradient_notes(module[0]) == ()
    assert "the module itself (PReLU)" in gradient_notes(nn.PReLU())[0]


Engine = Callable[[nn.Module, tuple[Tensor, ...], int], dict[str, Tensor]]


def engine(module: nn.Module, rows: tuple[Tensor, ...], views: int) -> dict[str, Tensor]:
    return clipped_gradient_sum(module, losses, rows, views=views, clip_norm=CLIP, views_per_pass=2).sum


def clips_each_view(module: nn.Module, rows: tuple[Tensor, ...], views: int) -> dict[str, Tensor]:
    found = clipped_gradient_sum(module, losses, rows, views=1, clip_norm=CLIP).sum
    return {name: total / views for name, total in found.items()}


def clips_each_pass(module: nn.Module, rows: tuple[Tensor, ...], views: int) -> dict[str, Tensor]:
    halves = ([t.unflatten(0, (-1, views))[:, own].flatten(0, 1) for t in rows] for own in (slice(2), slice(2, None)))
    first, second = (
        clipped_gradient_sum(module, losses, tuple(half), views=views // 2, clip_norm=CLIP / 2).sum for half in halves
    )
    return {name: first[name] + second[name] for name in first}


def clips_each_layer(module: nn.Module, rows: tuple[Tensor, ...], views: int) -> dict[str, Tensor]:
    found = clipped_gradient_sum(module, losses, rows, views=views, clip_norm=1e6).sum
    return {name: g * min(1.0, CLIP / max(float(g.norm()), 1e-30)) for name, g in found.items()}


def is_one_clip_of_the_mean(engine: Engine) -> bool:
    """On one example: exactly `clip_norm` long, in the direction of the gradient of its mean loss."""
    module, rows = Small(), batch(1, 4)
    parameters = dict(module.named_parameters())
    plain = torch.autograd.grad(losses(module, *rows).mean(), list(parameters.values()), materialize_grads=True)
    norm = length(plain)
    assert norm > CLIP
    found = engine(module, rows, 4)
    return length(found[n] - g * CLIP / norm for n, g in zip(parameters, plain, strict=True)) <= 1e-5 * CLIP


def test_one_clip_of_the_mean_over_all_views():
    assert is_one_clip_of_the_mean(engine)


@pytest.mark.parametrize("broken", [clips_each_view, clips_each_pass, clips_each_layer])
def test_the_broken_twins_are_caught(broken):
    assert not is_one_clip_of_the_mean(broken)
