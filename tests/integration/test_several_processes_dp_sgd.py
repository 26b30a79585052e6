"""DP-SGD on two and four processes is DP-SGD on one: the same samples, one noise, the same weights to rounding.

One call of `together` starts the processes and runs every case in them, the broken twins included.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from dpgen.accountants import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Plan
from dpgen.data.datasets import ArrayRecords, PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.distributed import World
from dpgen.errors import DistributedError, PlanMismatch
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.dp_sgd import DpSgd
from dpgen.noise import NoiseSource, SecureNoise, SeededNoise
from dpgen.testing.processes import Outcome, together

LEVEL = 1e-9
Weights = dict[str, Tensor]
CASES: dict[str, dict[str, Any]] = {
    "noise off": dict(noise_multiplier=0.0),
    "noise on": dict(noise_multiplier=1.0),
    "empty samples": dict(noise_multiplier=1.0, sampling_probability=1e-12),
    "some processes without an example": dict(noise_multiplier=0.0, sampling_probability=0.03, steps=8),
    "fewer examples than processes": dict(noise_multiplier=0.0, records=1, sampling_probability=1.0),
    "two records": dict(noise_multiplier=0.0, records=2, sampling_probability=1.0),
}


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.conv(images).relu().mean((2, 3)))


def inputs(images, labels, *, views, random):
    return images.repeat_interleave(views, 0) + 0.1 * random.normal(*images.shape[1:]), labels.repeat_interleave(views)


def loss(module, images, labels):
    return nn.functional.cross_entropy(module(images), labels, reduction="none")


def make(module: nn.Module | None = None, **changes: Any) -> DpSgd:
    torch.manual_seed(0)
    settings = dict(
        module=module or Small(), inputs=inputs, loss=loss, clip_norm=0.1, noise_multiplier=1.0,
        sampling_probability=0.3, steps=4, nominal_records=50, optimizer=partial(torch.optim.SGD, lr=1.0), views=2,
    )  # fmt: skip
    return DpSgd(**(settings | changes))


def data(count: int) -> ArrayRecords:
    images = torch.randint(0, 256, (count, 1, 6, 6), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return ArrayRecords(images, torch.arange(count) % 2)


def train(world: World, mechanism: DpSgd, *, records: int = 40, noise: NoiseSource | None = None) -> Weights:
    context = RunContext(world=world, physical_batch=8)
    noise = (noise or SeededNoise(3)).under("train#0")
    return mechanism._measure(data(records), noise=noise, relation=ADD_OR_REMOVE_ONE, context=context).weights


def case(world: World, name: str) -> Weights:
    changes = dict(CASES[name])
    records = changes.pop("records", 40)
    return train(world, make(**changes), records=records)


# --- what runs in each process --------------------------------------------------------------------------------------


def everything(world: World) -> dict[str, Any]:
    found: dict[str, Any] = {name: case(world, name) for name in CASES}
    found |= {name: twin(world) for name, twin in TWINS.items()}
    found["empty step"] = empty_step(world)
    with noise_on_every_process():
        found["empty step, noise on every process"] = empty_step(world)
    found["handle"] = through_the_handle(world)
    for name, act in DIFFERENCES.items():
        try:
            act(world)
        except DistributedError as error:
            found[name] = str(error)
    return found


def empty_step(world: World) -> Weights:
    """How far one step without an example moved 4160 weights: the noise alone, over its deviation."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 64))
    key = world.from_first(lambda: bytes(range(32)))
    mechanism = make(module, loss=flat_loss, views=1, steps=1, sampling_probability=1e-12, inputs=flat_inputs)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    after = train(world, mechanism, records=0, noise=SecureNoise(key))
    deviation = 1.0 * 0.1 / (1e-12 * 50)
    return {name: (before[name] - after[name]).double() / deviation for name in before}


def flat_inputs(images, labels, *, views, random):
    return (nn.functional.pad(images, (1, 1, 1, 1)), labels)


def flat_loss(module, images, labels):
    return nn.functional.cross_entropy(module(images), labels, reduction="none")


def through_the_handle(world: World) -> dict[str, Any]:
    """One ledger is charged: that of the first process. Beyond the plan all are refused, before they read."""
    mechanism, ledger = make(), Ledger(RdpAccountant(), Budget(50.0, 1e-5, ADD_OR_REMOVE_ONE))
    ledger.adopt(Plan((Charge("train", mechanism.event(ADD_OR_REMOVE_ONE)),)))
    info = DatasetInfo(shape=Shape(1, 6, 6), class_names=("a", "b"), nominal_records=50)
    context, noise = RunContext(world=world), SeededNoise(3)
    private = PrivateDataset(data(40), info, ledger=ledger, noise=noise, context=context)
    weights = private.release(mechanism, label="train").weights
    try:
        private.release(mechanism, label="train")
        refused = None
    except (PlanMismatch, DistributedError) as error:
        refused = type(error).__name__
    return {"weights": weights, "charges": len(ledger.charges), "refused": refused}


# --- broken twins: each must give other weights, or other noise -------------------------------------------------------


@contextmanager
def replaced(name: str, method: Callable[..., Any]) -> Iterator[None]:
    right = getattr(World, name)
    setattr(World, name, method)
    try:
        yield
    finally:
        setattr(World, name, right)


ADD_UP, SHARE = World.add_up, World.share


def noise_on_every_process():
    return replaced("add_up", lambda self, tensors, finish: ADD_UP(self, finish(tensors), lambda total: total))


def twin_noise_everywhere(world: World) -> Weights:
    with noise_on_every_process():
        return case(world, "noise on")


def twin_own_sample(world: World) -> Weights:
    """Each process draws a sample of its own from the whole data, instead of sharing one."""
    wrong = SeededNoise(100 + world.rank)
    own = lambda self, ids: wrong.poisson_subset(data(40).ids, probability=0.3)  # noqa: E731
    with replaced("share", own):
        return case(world, "noise off")


def twin_whole_sample(world: World) -> Weights:
    """Each process computes the whole sample, so every record counts once for each of them."""
    with replaced("share", lambda self, ids: ids):
        return case(world, "noise off")


def twin_own_divisor(world: World) -> Weights:
    """Each process divides by how many examples it had itself."""
    counts = []

    def share(self: World, ids: np.ndarray) -> np.ndarray:
        counts.append(len(SHARE(self, ids)))
        return SHARE(self, ids)

    def add_up(self: World, tensors: Weights, finish: Callable[[Weights], Weights]) -> Weights:
        own = {name: tensor * (0.3 * 50) / max(counts[-1], 1) for name, tensor in tensors.items()}
        return ADD_UP(self, own, finish)

    with replaced("share", share), replaced("add_up", add_up):
        return case(world, "noise off")


TWINS = {
    "noise on every process": twin_noise_everywhere,
    "a sample for each process": twin_own_sample,
    "the whole sample in each process": twin_whole_sample,
    "a divisor for each process": twin_own_divisor,
}
SHOULD_EQUAL = {"noise on every process": "noise on"}


# --- processes that differ --------------------------------------------------------------------------------------------


def other_weights(world: World) -> None:
    module = Small()
    with torch.no_grad():
        module.head.bias += 1e-6 * world.rank
    train(world, make(module))


def other_key(world: World) -> None:
    train(world, make(), noise=SeededNoise(world.rank))


def other_settings(world: World) -> None:
    train(world, make(noise_multiplier=1.0 + 1e-9 * world.rank))


def drift(world: World) -> None:
    def drifting(module: nn.Module, step: int) -> None:
        if world.rank == 1 and step == 2:
            with torch.no_grad():  # by one unit in the last place
                module.head.bias.copy_(module.head.bias.nextafter(torch.full((2,), 9.0)))

    train(world, make(after_step=drifting))


DIFFERENCES = {"other weights": other_weights, "other key": other_key, "other settings": other_settings, "drift": drift}


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[2, 4])
def found(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return [value(outcome) for outcome in together(request.param, everything)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Weights]:
    return {name: case(World(), name) for name in CASES}


def value(outcome: Outcome) -> dict[str, Any]:
    assert outcome.kind is None, f"{outcome.kind}: {outcome.text}"
    return outcome.value


def same_training(several: list[Weights], one: Weights) -> bool:
    """Bit for bit alike in all processes, and like one process to rounding."""
    alike = all(torch.equal(weights[name], tensor) for weights in several for name, tensor in several[0].items())
    return alike and all(torch.allclose(several[0][name], one[name], rtol=1e-5, atol=1e-6) for name in one)


@pytest.mark.parametrize("name", CASES)
def test_several_processes_train_what_one_does(name: str, found: list[dict[str, Any]], alone: dict[str, Weights]):
    assert same_training([each[name] for each in found], alone[name])


def test_an_empty_sample_adds_exactly_the_noise(found: list[dict[str, Any]], alone: dict[str, Weights]):
    for name, tensor in alone["empty samples"].items():
        assert torch.equal(found[0]["empty samples"][name], tensor)


@pytest.mark.parametrize("twin", TWINS)
def test_broken_twins_are_caught(twin: str, found: list[dict[str, Any]], alone: dict[str, Weights]):
    assert not same_training([each[twin] for each in found], alone[SHOULD_EQUAL.get(twin, "noise off")])


def noise_pvalue(moved: Weights) -> float:
    """Exact: the sum of squares of n standard normal draws follows chi-squared with n degrees."""
    draws = torch.cat([tensor.flatten() for tensor in moved.values()]).numpy()
    law, statistic = stats.chi2(draws.size), float((draws**2).sum())
    return 2 * min(law.cdf(statistic), law.sf(statistic))


def test_the_noise_has_the_variance_of_one_process(found: list[dict[str, Any]]):
    """At false-alarm level 1e-9; noise added by each of two processes has at least twice the variance."""
    assert noise_pvalue(empty_step(World())) > LEVEL
    assert noise_pvalue(found[0]["empty step"]) > LEVEL
    assert noise_pvalue(found[0]["empty step, noise on every process"]) < LEVEL


def test_one_ledger_is_charged_and_all_are_refused_beyond_the_plan(found: list[dict[str, Any]]):
    handles = [each["handle"] for each in found]
    assert [handle["charges"] for handle in handles] == [1] + [0] * (len(found) - 1)
    assert [handle["refused"] for handle in handles] == ["PlanMismatch"] + ["ProcessLost"] * (len(found) - 1)
    assert same_training([handle["weights"] for handle in handles], through_the_handle(World())["weights"])


@pytest.mark.parametrize("name", DIFFERENCES)
def test_processes_that_differ_are_stopped(name: str, found: list[dict[str, Any]]):
    what = "trained weights" if name == "drift" else "start of 'dp-sgd'"
    for each in found:
        assert f"the same {what}" in each[name]
        assert "in process 1" in each[name]


# --- a process that dies ----------------------------------------------------------------------------------------------


def one_dies(world: World, dying: int, how: str) -> None:
    def die(module: nn.Module, step: int) -> None:
        if world.rank == dying and step == 1:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise MemoryError

    train(world, make(after_step=die, steps=10_000))


@pytest.mark.parametrize(("dying", "how"), [(0, "killed"), (1, "killed"), (1, "raises")])
def test_when_a_process_dies_the_others_stop(dying: int, how: str):
    outcomes = together(3, one_dies, dying, how)
    assert outcomes[dying].kind == ("MemoryError" if how == "raises" else None)
    assert {outcome.kind for rank, outcome in enumerate(outcomes) if rank != dying} == {"ProcessLost"}
