"""GS-WGAN's parts: shards, critics side by side, the one clip, the event, and resuming."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from dpgen.accountants import PldAccountant, RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget
from dpgen.data.datasets import ArrayRecords
from dpgen.data.info import Shape
from dpgen.errors import InvalidValue, ResumeError
from dpgen.events import Gaussian, OnShards, PoissonSampled, SelfComposed
from dpgen.generators import Task
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.noise import SeededNoise
from dpgen.testing.conformance import TOY_INFO
from dpgen_plugins.gan import sharded_critics as module
from dpgen_plugins.gan.critics import DRIFT_PENALTY, SLOPE_PENALTY, Critics
from dpgen_plugins.gan.examples import sharded_critics
from dpgen_plugins.gan.gs_wgan import GsWgan
from dpgen_plugins.gan.shards import Shards, clipped_blocks, shards_of, turn

MECHANISM = sharded_critics(TOY_INFO)
CRITIC = MECHANISM.critic


def rows(shards: int, count: int = 4, seed: int = 0) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    images, generated = (torch.rand(shards, count, 1, 8, 8, generator=random) for _ in range(2))
    labels = torch.randint(0, TOY_INFO.classes, (shards, count), generator=random)
    return images, labels, generated, torch.rand(shards, count, generator=random)


def loss_of(weights: dict[str, torch.Tensor], images, labels, generated, mix) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """WGAN-GP by ordinary autograd, one critic at a time."""

    def score(x: torch.Tensor) -> torch.Tensor:
        return functional_call(CRITIC, weights, (x, labels))

    between = (generated + mix.view(-1, 1, 1, 1) * (images - generated)).requires_grad_()
    (slope,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    steep = slope.flatten(1).norm(dim=1)
    penalty = SLOPE_PENALTY * (steep - 1) ** 2 + DRIFT_PENALTY * score(images) ** 2
    return (score(generated) - score(images) + penalty).mean()


def test_critics_side_by_side_learn_what_each_alone_learns() -> None:
    critics, alone = Critics(CRITIC, 3, learning_rate=1e-2), []
    for _ in range(2):
        weights = {name: nn.Parameter(p.detach().clone()) for name, p in CRITIC.named_parameters()}
        alone.append((weights, torch.optim.Adam(weights.values(), lr=1e-2, betas=(0.5, 0.9))))
    for step in range(3):
        batch = rows(2, seed=step)
        critics.learn(torch.tensor([0, 2]), *batch, torch.ones(2, dtype=torch.bool))
        for place, (weights, adam) in enumerate(alone):
            adam.zero_grad()
            loss_of(weights, *(part[place] for part in batch)).backward()
            adam.step()
    found = critics.tensors()
    for shard, (weights, _) in zip((0, 2), alone, strict=True):
        for name, weight in weights.items():
            torch.testing.assert_close(found[f"weights/{name}"][shard], weight.data, atol=2e-4, rtol=1e-3)
    for name, weight in CRITIC.named_parameters():
        assert torch.equal(found[f"weights/{name}"][1], weight)  # it was never asked


def test_a_critic_of_an_empty_shard_stays_public() -> None:
    critics = Critics(CRITIC, 2, learning_rate=1e-2)
    critics.learn(torch.arange(2), *rows(2), torch.tensor([True, False]))
    found = critics.tensors()
    for name, weight in CRITIC.named_parameters():
        assert torch.equal(found[f"weights/{name}"][1], weight)
        assert not torch.equal(found[f"weights/{name}"][0], weight) or not weight.requires_grad


def test_slopes_are_those_of_the_score() -> None:
    critics, images, labels = Critics(CRITIC, 2, learning_rate=1e-2), torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 2])
    critics.learn(torch.arange(2), *rows(2), torch.ones(2, dtype=torch.bool))
    slopes = critics.slopes(torch.tensor([1]), images, labels)[0]
    weights = {n.removeprefix("weights/"): t[1] for n, t in critics.tensors().items() if n.startswith("weights/")}
    x = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(functional_call(CRITIC, weights, (x, labels)).sum(), x)
    torch.testing.assert_close(slopes, expected, atol=1e-5, rtol=1e-4)


def test_a_critic_with_buffers_is_refused() -> None:
    with pytest.raises(InvalidValue, match="buffers"):
        Critics(nn.BatchNorm2d(1), 2, learning_rate=0.1)


def test_a_shard_is_chosen_by_the_record_alone_and_evenly() -> None:
    ids, noise = np.arange(8000, dtype=np.int64), SeededNoise(0)
    found = shards_of(ids, noise, 8)
    assert np.array_equal(shards_of(np.delete(ids, 17), noise, 8), np.delete(found, 17))
    counts = np.bincount(found, minlength=8)
    assert ((counts - 1000) ** 2 / 1000).sum() < 40  # chi-squared with 7 degrees of freedom: once in a million


def test_rows_come_from_their_own_shard_and_empty_shards_give_black_ones() -> None:
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 8, 8) * 10 + 5
    records, noise = ArrayRecords(images.contiguous(), torch.arange(6) % 3), SeededNoise(0)
    shards, where = Shards(records, noise, 5), shards_of(records.ids, noise, 5)
    drawn = shards.rows(np.arange(5, dtype=np.int64), 40, purpose="step", step=0)
    for shard in range(5):
        own = {round(float(v)) for v in (drawn.images[shard, :, 0, 0, 0] * 255).unique()}
        assert own == ({10 * i + 5 for i in np.flatnonzero(where == shard)} or {0})
        assert bool(drawn.filled[shard]) == bool((where == shard).any())
    part = shards.rows(np.array([2, 4]), 40, purpose="step", step=0)
    assert torch.equal(part.images[1], drawn.images[4])  # whichever other shards are asked for


def test_turns_go_round() -> None:
    assert [turn(step, 2, 5).tolist() for step in range(3)] == [[0, 1], [2, 3], [0, 4]]
    assert np.bincount(np.concatenate([turn(step, 3, 7) for step in range(7)])).tolist() == [3] * 7


def test_a_block_is_clipped_as_a_whole_and_what_is_not_finite_counts_for_nothing() -> None:
    blocks = torch.tensor([[[3.0, 4.0]], [[0.3, 0.4]], [[0.0, 0.0]], [[math.nan, 1.0]], [[math.inf, 1.0]]])
    expected = [[[0.6, 0.8]], [[0.3, 0.4]], [[0.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]]
    torch.testing.assert_close(clipped_blocks(blocks, 1.0), torch.tensor(expected))


def test_the_event_costs_the_same_under_both_relations() -> None:
    event = MECHANISM.event(ADD_OR_REMOVE_ONE)
    assert event == MECHANISM.event(REPLACE_ONE) == OnShards(SelfComposed(PoissonSampled(0.5, Gaussian(2.0)), 3))
    assert MECHANISM.sensitivity(ADD_OR_REMOVE_ONE) == MECHANISM.sensitivity(REPLACE_ONE) == 2 * MECHANISM.clip_norm
    one, other = (PldAccountant().epsilon(event, delta=1e-5, relation=r) for r in (ADD_OR_REMOVE_ONE, REPLACE_ONE))
    assert one == other


def test_a_plan_spends_the_budget_on_the_slopes() -> None:
    generator = GsWgan(GsWgan.Config.model_validate({"shards": {"count": 50, "per_step": 5}}))
    budget = Budget(4.0, 1e-4, ADD_OR_REMOVE_ONE)
    plan = generator.plan(Task(replace(TOY_INFO, nominal_records=1000), None, 4), budget, RdpAccountant())
    (charge,) = plan.charges
    assert isinstance(charge.event, OnShards)
    assert 3.9 < RdpAccountant().epsilon(charge.event, delta=1e-4, relation=ADD_OR_REMOVE_ONE).upper <= 4.0
    assert "about 20 declared records" in plan.notes[0]


@pytest.mark.parametrize(
    "wrong",
    [{"critics_per_step": 5}, {"shards": 0}, {"sampling_probability": 1.5}, {"clip_norm": 0.0}, {"warm_up": -1}],
)
def test_bad_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidValue):
        replace(MECHANISM, **wrong)


def test_cells_that_do_not_fill_an_image_are_refused_before_anything_is_read() -> None:
    wide = replace(TOY_INFO, shape=Shape(1, 9, 8))
    with pytest.raises(InvalidValue, match="cell"):
        GsWgan().plan(Task(wide, None, 4), Budget(4.0, 1e-4, ADD_OR_REMOVE_ONE), RdpAccountant())


def toy_records() -> ArrayRecords:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (30, *TOY_INFO.shape), generator=random, dtype=torch.uint8)
    return ArrayRecords(pixels, torch.arange(30) % TOY_INFO.classes)


def measured(context: RunContext, **others: object) -> dict[str, torch.Tensor]:
    made = replace(MECHANISM, **others)  # type: ignore[arg-type]
    return made._measure(toy_records(), noise=SeededNoise(0), relation=ADD_OR_REMOVE_ONE, context=context)


def test_a_killed_release_ends_like_an_unbroken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 1)
    whole, context = measured(RunContext()), RunContext(checkpoints=Checkpoints())
    honest, calls = Critics.slopes, 0

    def kill(self, *arguments):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return honest(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Critics, "slopes", kill)
        with pytest.raises(KeyboardInterrupt):
            measured(context)
    assert context.checkpoints.load("sharded critics.unfinished") is not None
    resumed = measured(context)
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
    with pytest.raises(ResumeError):
        measured(context, noise_multiplier=1.0)
