"""DpSgd as a mechanism: its price, its step, its indifference to physical batches, its resumption."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.errors import DataError, InvalidValue, PrivacyError, ResumeError
from dpgen.events import Gaussian, PoissonSampled, SelfComposed
from dpgen.mechanisms import Checkpoints, Progress, RunContext
from dpgen.mechanisms.dp_sgd import DpSgd, TrainedModule, clipped_gradient_sum, dp_sgd_event, training
from dpgen.noise import SeededNoise


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)
        self.head = nn.Linear(4, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.register_buffer("shift", torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.frozen(self.head(self.norm(self.conv(images)).relu().mean((2, 3)))) + self.shift


def inputs(images, labels, *, views, random):
    rows = images.repeat_interleave(views, 0)
    return rows + 0.1 * random.normal(*images.shape[1:]), labels.repeat_interleave(views)


def loss(module, images, labels):
    return nn.functional.cross_entropy(module(images), labels, reduction="none")


def records(count: int = 40) -> ArrayRecords:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 1, 6, 6), generator=generator, dtype=torch.uint8)
    return ArrayRecords(images, torch.arange(count) % 2)


def make(**changes) -> DpSgd:
    torch.manual_seed(0)
    settings = dict(
        module=Small(), inputs=inputs, loss=loss, clip_norm=0.1, noise_multiplier=1.0, sampling_probability=0.3,
        steps=6, nominal_records=50, optimizer=partial(torch.optim.Adam, lr=0.01), views=2, ema_decay=0.9,
    )  # fmt: skip
    return DpSgd(**(settings | changes))


def measure(mechanism: DpSgd, data=None, *, seed: int = 3, **context) -> TrainedModule:
    noise = SeededNoise(seed).under("finetune#0")
    data = records() if data is None else data
    return mechanism._measure(data, noise=noise, relation=ADD_OR_REMOVE_ONE, context=RunContext(**context))


def same(first: TrainedModule, second: TrainedModule) -> bool:
    pairs = zip(
        [*first.weights.values(), *first.ema.values()], [*second.weights.values(), *second.ema.values()], strict=True
    )
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_price_comes_from_the_settings():
    mechanism = make()
    expected = SelfComposed(PoissonSampled(0.3, Gaussian(1.0)), 6)
    assert mechanism.event(ADD_OR_REMOVE_ONE) == mechanism.event(REPLACE_ONE) == expected
    assert dp_sgd_event(noise_multiplier=1.0, sampling_probability=0.3, steps=6) == expected
    assert mechanism.sensitivity(ADD_OR_REMOVE_ONE) == pytest.approx(0.1)
    assert mechanism.sensitivity(REPLACE_ONE) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip_norm": 0.0}, {"noise_multiplier": -1.0}, {"sampling_probability": 0.0}, {"sampling_probability": 1.5},
        {"steps": 0}, {"nominal_records": 0}, {"views": 0}, {"ema_decay": 2.0}, {"phase": ""},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        make(**wrong)


def test_a_module_with_batch_norm_is_refused_on_construction():
    with pytest.raises(PrivacyError, match="BatchNorm2d"):
        make(module=nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)))


def test_one_step_is_the_noised_clipped_sum_over_the_public_divisor():
    mechanism = make(steps=1, optimizer=partial(torch.optim.SGD, lr=2.0), learning_rate=lambda step: 0.5, views=3)
    noise, data = SeededNoise(3).under("finetune#0"), records()
    ids = noise.poisson_subset(data.ids, probability=0.3, step=0)
    rows = inputs(*data.batch(ids), views=3, random=noise.row_random(ids, views=3, step=0, device=torch.device("cpu")))
    clipped = clipped_gradient_sum(mechanism.module, loss, rows, views=3, clip_norm=0.1)
    found = measure(mechanism, data)
    for name, before in mechanism.module.named_parameters():
        if not before.requires_grad:
            assert torch.equal(found.weights[name], before)
            continue
        total = clipped.sum[name].double().numpy()
        noised = noise.gaussian(total, standard_deviation=0.1, sensitivity=0.1, step=0, tensor=name)
        expected = before.detach() - 2.0 * 0.5 * torch.from_numpy(noised).float() / (0.3 * 50)
        assert torch.allclose(found.weights[name], expected, rtol=1e-5, atol=1e-7)


def test_an_empty_sample_adds_exactly_the_noise_and_counts():
    seen = []
    mechanism = make(
        steps=4, optimizer=partial(torch.optim.SGD, lr=1.0), after_step=lambda module, step: seen.append(step)
    )
    nobody = ArrayRecords(torch.empty(0, 1, 6, 6, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
    found, noise = measure(mechanism, nobody), SeededNoise(3).under("finetune#0")
    assert seen == [0, 1, 2, 3]
    for name, before in mechanism.module.named_parameters():
        if before.requires_grad:
            zeros = np.zeros(before.shape)
            draws = [
                noise.gaussian(zeros, standard_deviation=0.1, sensitivity=0.1, step=step, tensor=name)
                for step in range(4)
            ]
            expected = before.detach().double() - torch.from_numpy(sum(draws)) / (0.3 * 50)
            assert torch.allclose(found.weights[name].double(), expected, rtol=1e-5, atol=1e-7)


def test_the_physical_batch_does_not_change_the_result():
    results = [measure(make(), physical_batch=rows) for rows in (1, 2, 10, 10_000)]
    for other in results[1:]:
        for name, tensor in results[0].weights.items():
            assert torch.allclose(tensor, other.weights[name], rtol=1e-4, atol=1e-6)


def test_noise_depends_on_the_label_and_the_run_key_only():
    assert same(measure(make()), measure(make()))
    assert not same(measure(make()), measure(make(), seed=4))


def test_the_callers_module_is_not_modified():
    mechanism = make()
    before = {name: t.clone() for name, t in mechanism.module.state_dict().items()}
    found = measure(mechanism)
    assert all(torch.equal(t, before[name]) for name, t in mechanism.module.state_dict().items())
    assert list(found.weights) == list(found.ema) == list(before)
    assert not torch.equal(found.weights["head.weight"], before["head.weight"])
    assert torch.equal(found.ema["frozen.weight"], before["frozen.weight"])


def test_the_average_follows_the_weights_with_warm_up():
    history = [make().module.head.weight.detach().clone()]
    mechanism = make(after_step=lambda module, step: history.append(module.head.weight.detach().clone()))
    found = measure(mechanism)
    expected = history[0]
    for step, weight in enumerate(history[1:]):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    assert torch.allclose(found.ema["head.weight"], expected, atol=1e-6)


class Killed(Exception):
    pass


class Killer(Progress):
    """Counts the steps that are done and stops the run after `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit, self.total, self.phases = limit, 0, []

    @contextmanager
    def track(self, phase, total):
        self.phases.append((phase, total))

        def advance(steps):
            self.total += steps
            if self.total >= self.limit:
                raise Killed

        yield advance


@pytest.mark.parametrize("killed_after", [1, 2, 3, 5, 6])
def test_a_killed_run_continues_to_bit_equal_weights(killed_after, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    context = dict(checkpoints=Checkpoints(tmp_path))
    with pytest.raises(Killed):
        measure(make(), progress=Killer(killed_after), **context)
    resumed = Killer(1_000)
    assert same(measure(make(), progress=resumed, **context), measure(make()))
    assert resumed.total == 6
    assert resumed.phases == [("dp-sgd", 6)]


def test_a_finished_run_gives_its_result_again_without_reading(tmp_path):
    context = dict(checkpoints=Checkpoints(tmp_path))
    first = measure(make(), **context)

    class Unreadable(ArrayRecords):
        def batch(self, ids):
            assert len(ids) == 0
            return super().batch(ids)

    data = records()
    assert same(measure(make(), Unreadable(data._images, data._labels), **context), first)


@pytest.mark.parametrize(
    ("changes", "seed", "word"),
    [({"noise_multiplier": 2.0}, 3, "noise_multiplier"), ({"views": 1}, 3, "views"), ({}, 4, "address")],
)
def test_another_releases_checkpoint_is_refused(changes, seed, word):
    checkpoints = Checkpoints()
    measure(make(), checkpoints=checkpoints)
    with pytest.raises(ResumeError, match=word):
        measure(make(**changes), seed=seed, checkpoints=checkpoints)
    other = replace(make(**changes), phase="second")
    measure(other, seed=seed, checkpoints=checkpoints)


def gathered_loss(module, images, labels):
    return -module(images).log_softmax(1).gather(1, labels[:, None]).squeeze(1)


@pytest.mark.parametrize("broken", [loss, gathered_loss])
def test_an_error_about_a_record_does_not_quote_it(broken):
    """PyTorch says "Target 7 is out of bounds" (IndexError) or "index 7 is out of bounds" (RuntimeError)."""
    sound = records()
    images, labels = sound.batch(sound.ids)
    odd = ArrayRecords((images * 255).to(torch.uint8), torch.full_like(labels, 7))
    with pytest.raises(DataError, match="inputs and loss") as caught:
        measure(make(loss=broken), odd)
    assert "7" not in str(caught.value)
