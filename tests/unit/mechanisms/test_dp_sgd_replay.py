"""Gradients computed anew in blocks: as exact as stored ones, and norm and sum still from the same numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from dpgen.mechanisms.dp_sgd import clipped_gradient_sum, gathered
from dpgen.mechanisms.dp_sgd.gathered import Gathered, OuterProduct, Replayed, gather
from dpgen.mechanisms.dp_sgd.uses import worth_replaying

CLIP = 0.05


class Heavy(nn.Module):
    """Weights that outweigh their activations at few views: strided, shared, used twice, and inside a mapped part."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(16))  # computed under vmap, with all layers below it
        self.strided = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.twice = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.signal = nn.Conv1d(16, 16, 3, padding="same")
        self.words = nn.Linear(16, 24)
        self.twin = nn.Linear(16, 24, bias=False)
        self.twin.weight = self.words.weight
        self.single = nn.Linear(24, 24)
        self.head = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu_(self.strided(images))
        x = torch.tanh(self.twice(torch.tanh(self.twice(x))))
        x = self.signal(x.flatten(2)) * self.scale[:, None]
        mean = x.mean(2)
        words = self.words(x.mT).sum(1) + self.twin(mean)
        return torch.cat([self.single(torch.tanh(words)), self.head(mean)], dim=1)


class Plain(Heavy):
    """The same without the mapped part: its layers' rules run on all rows."""

    def __init__(self) -> None:
        super().__init__()
        self.scale.requires_grad_(False)


def losses(module: nn.Module, images: Tensor) -> Tensor:
    return module(images).square().mean(1)


def reference(module: nn.Module, images: Tensor, views: int) -> tuple[list[Tensor], Tensor]:
    parameters = [p for p in module.parameters() if p.requires_grad]
    total, norms = [torch.zeros_like(p, dtype=torch.float64) for p in parameters], []
    for own in images.split(views):
        found = torch.autograd.grad(losses(module, own).mean(), parameters)
        norms.append(math.sqrt(sum(float(g.double().square().sum()) for g in found)))
        for t, g in zip(total, found, strict=True):
            t += g.double() * min(1.0, CLIP / norms[-1])
    return total, torch.tensor(norms, dtype=torch.float64)


def length(tensors) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


@pytest.fixture
def parts(monkeypatch) -> list[Gathered]:
    """What the last backward pass left."""
    seen: list[Gathered] = []

    def spy(*arguments):
        seen[:] = gather(*arguments)
        return seen

    monkeypatch.setattr("dpgen.mechanisms.dp_sgd.gradients.gather", spy)
    return seen


@pytest.mark.parametrize("views", [1, 2, 4, 32])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("make", [Heavy, Plain])
def test_equals_one_example_at_a_time(make, layout, views, parts, monkeypatch):
    monkeypatch.setitem(gathered._BLOCK, "cpu", 5000)  # two examples of the largest weight: several blocks, one short
    for dtype, norm_error, sum_error in ((torch.float32, 2e-6, 5e-6), (torch.float64, 1e-12, 1e-12)):
        torch.manual_seed(views)
        module = make().to(dtype)
        images = torch.randn(5 * views, 3, 6, 6, dtype=dtype).contiguous(memory_format=layout)
        expected, norms = reference(module, images, views)
        found = clipped_gradient_sum(module, losses, (images,), views=views, clip_norm=CLIP)
        assert ((found.norms.double() - norms) / norms).abs().max() <= norm_error
        gap = length(f.double() - e for f, e in zip(found.sum.values(), expected, strict=True))
        assert gap <= sum_error * length(expected)
    if make is Plain and views != 2:
        replayed = {p.name.removesuffix(".weight") for p in parts if isinstance(p, Replayed)}
        outer = {p.name.removesuffix(".weight") for p in parts if isinstance(p, OuterProduct)}
        one = {"strided", "twice", "signal", "words"}
        assert replayed == {1: one, 4: {"twice", "words", "single"}, 32: set()}[views]
        assert outer == ({"single", "head"} if views == 1 else set())
        if views == 4:  # one use of a shared weight replayed, the other stored
            assert next(p for p in parts if p.name == "words.weight").stored is not None


def test_the_rule_reads_shapes_only():
    assert worth_replaying(weights=9216, activations=3136, positions=49)
    assert not worth_replaying(weights=9216, activations=3136, positions=50)
    assert not worth_replaying(weights=3136, activations=3136, positions=49)


@pytest.mark.parametrize("views", [1, 2])
def test_a_poisoned_example_spoils_nobody(views):
    torch.manual_seed(0)
    module, images = Plain(), torch.randn(3 * views, 3, 6, 6)
    mask = torch.tensor([True, False, True])
    clean = clipped_gradient_sum(module, losses, (images,), views=views, clip_norm=CLIP, mask=mask)
    images[2 * views - 1] = math.nan
    found = clipped_gradient_sum(module, losses, (images,), views=views, clip_norm=CLIP)
    assert found.norms.isfinite().tolist() == mask.tolist()
    assert all(torch.equal(found.sum[n], clean.sum[n]) for n in clean.sum)


def largest_contribution(precision: str) -> float:
    """Over some examples, what one adds, as a multiple of the clip norm."""
    worst = 0.0
    for seed in range(6):
        torch.manual_seed(seed)
        module, images = Plain(), torch.randn(2, 3, 6, 6)
        if precision == "bfloat16":
            module, images = module.bfloat16(), images.bfloat16()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
            found = clipped_gradient_sum(module, losses, (images,), views=2, clip_norm=1e-4)
        assert float(found.norms) > 1e-4
        worst = max(worst, length(found.sum.values()) / 1e-4)
    return worst


@pytest.mark.parametrize("precision", ["float32", "autocast", "bfloat16"])
def test_one_example_never_contributes_more_than_the_clip_norm(precision):
    assert 1 - 1e-5 <= largest_contribution(precision) <= 1 + 1e-6


def norms_by_another_kernel(part: Replayed) -> Tensor:
    """Broken: better rounded than the numbers that are added."""
    each = [use.gradients(g.float(), use.rows.float(), part.examples).flatten(1) for use, g in part.uses]
    return torch.stack(each).sum(0).norm(dim=1)


def norms_of_each_use(part: Replayed) -> Tensor:
    """Broken: the norm of a sum taken for the root of the sum of squares."""
    each = [use.gradients(g, use.rows, part.examples).flatten(1).float().norm(dim=1) for use, g in part.uses]
    return torch.stack(each).norm(dim=0)


def test_a_norm_from_another_kernel_than_the_sum_is_caught(monkeypatch):
    monkeypatch.setattr(Replayed, "norms", norms_by_another_kernel)
    assert largest_contribution("bfloat16") > 1 + 1e-5


def test_uses_of_a_shared_weight_normed_separately_are_caught(monkeypatch):
    monkeypatch.setattr(Replayed, "norms", norms_of_each_use)
    assert largest_contribution("float32") > 1 + 1e-3


def test_the_same_replay_gives_the_same_bits():
    torch.manual_seed(0)
    module, images = Plain(), torch.randn(6, 3, 6, 6)
    first, second = (clipped_gradient_sum(module, losses, (images,), views=1, clip_norm=CLIP) for _ in range(2))
    assert torch.equal(first.norms, second.norms)
    assert all(torch.equal(first.sum[n], second.sum[n]) for n in first.sum)
