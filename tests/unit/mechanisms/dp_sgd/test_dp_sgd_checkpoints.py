"""Checkpoints of training: stopped anywhere, damaged anywhere, continued in another size, never a pickle."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.errors import ResumeError, StorageError
from dpgen.mechanisms import Checkpoints, Progress, RunContext
from dpgen.mechanisms.dp_sgd import DpSgd, training
from dpgen.noise import SeededNoise
from dpgen.storage import failing

STEPS = 6


@pytest.fixture(autouse=True)
def every_second_step(monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)


class Stopped(BaseException):
    """What a kill is to the code: nothing catches it."""


class StopAfter(Progress):
    def __init__(self, steps: int) -> None:
        self.left = steps

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator:
        def advance(steps: int) -> None:
            self.left -= steps
            if self.left <= 0:
                raise Stopped

        yield advance


def inputs(images, labels, *, views, random):
    return images.repeat_interleave(views, 0) + random.normal(*images.shape[1:]), labels.repeat_interleave(views)


def loss(module, images, labels):
    return nn.functional.cross_entropy(module(images.flatten(1)), labels, reduction="none")


def train(folder: Path | None, *, steps: int = STEPS, **context) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    mechanism = DpSgd(
        module=nn.Linear(4, 2), inputs=inputs, loss=loss, clip_norm=0.1, noise_multiplier=1.0, views=2, steps=steps,
        sampling_probability=0.5, nominal_records=20, optimizer=partial(torch.optim.Adam, lr=0.1),
    )  # fmt: skip
    data = ArrayRecords(torch.arange(80, dtype=torch.uint8).view(20, 1, 2, 2), torch.arange(20) % 2)
    surroundings = RunContext(checkpoints=Checkpoints(folder), **context)
    noise = SeededNoise(1).under("x")
    found = mechanism._measure(data, noise=noise, relation=ADD_OR_REMOVE_ONE, context=surroundings)
    return found.weights | {f"ema.{name}": tensor for name, tensor in found.ema.items()}


def stop_after(steps: int, folder: Path, **context) -> Path:
    with pytest.raises(Stopped):
        train(folder, progress=StopAfter(steps), **context)
    return folder / "dp-sgd.unfinished.checkpoint"


def same(first, second) -> bool:
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_stopped_before_any_operation_on_the_disk_it_ends_bit_equal(tmp_path):
    once = partial(train, steps=3)  # two checkpoints
    expected, stopped = once(None), 0
    for nth in range(1000):
        seen = 0

        def hook(operation, path, nth=nth):
            nonlocal seen
            seen += 1
            if seen > nth:
                raise Stopped

        folder = tmp_path / str(nth)
        try:
            with failing(hook):
                once(folder)
        except Stopped:
            stopped += 1
        assert same(once(folder), expected)
        if seen <= nth:
            break
    assert stopped == nth >= 2 * 5  # two checkpoints of at least five operations each


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage, share):
    path = stop_after(5, tmp_path)  # checkpoints of steps 2 and 4 are there
    content = bytearray(path.read_bytes())
    at = int(share * len(content))
    if damage == "truncated":
        del content[at:]
    else:
        content[at] ^= 1
    path.write_bytes(content)
    saved = Checkpoints(tmp_path).load("dp-sgd.unfinished")
    assert saved is not None
    assert saved.facts["step"] == 2
    assert same(train(tmp_path), train(None))


def test_with_no_good_one_left_it_is_refused(tmp_path):
    path = stop_after(3, tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError, match="match its seal"):
        train(tmp_path)


def test_the_checkpoint_of_another_release_is_refused(tmp_path):
    stop_after(3, tmp_path)
    saved = Checkpoints(tmp_path).load("dp-sgd.unfinished")
    assert saved is not None
    other = saved.facts | {"identity": saved.facts["identity"] | {"address": "0"}}
    Checkpoints(tmp_path).save("dp-sgd.unfinished", saved.tensors, other)
    with pytest.raises(ResumeError, match="address"):
        train(tmp_path)


@pytest.mark.parametrize("later", [{"physical_batch": 4}, {"fit_to_memory": True}], ids=["fixed", "measured"])
def test_it_goes_on_in_another_size(tmp_path, later):
    stop_after(3, tmp_path, physical_batch=2)
    expected = train(None)
    for name, tensor in train(tmp_path, **later).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)


def test_the_facts_say_nothing_of_the_size_of_a_pass(tmp_path):
    sizes = {"physical_batch": 2}, {"physical_batch": 64}, {"fit_to_memory": True}
    facts = []
    for index, size in enumerate(sizes):
        stop_after(3, tmp_path / str(index), **size)
        saved = Checkpoints(tmp_path / str(index)).load("dp-sgd.unfinished")
        assert saved is not None
        facts.append(saved.facts)
    assert facts[0] == facts[1] == facts[2]
    assert facts[0].keys() == {"step", "optimizer", "identity"}


class Trap:
    """Raises when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a checkpoint was unpickled",))


def test_loading_never_unpickles(tmp_path, monkeypatch):
    """Neither the weights nor the optimizer's state; a pickle in their place is refused."""
    path = stop_after(3, tmp_path)
    path.with_name("pickle").write_bytes(pickle.dumps(Trap()))
    for owner, name in ((pickle, "loads"), (pickle, "load"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("a checkpoint was unpickled"))
    assert same(train(tmp_path), train(None))
    path.write_bytes(path.with_name("pickle").read_bytes())
    path.with_name(path.name + ".previous").unlink(missing_ok=True)
    with pytest.raises(StorageError):
        train(tmp_path)
