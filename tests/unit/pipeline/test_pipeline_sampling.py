"""A sample in parts: the images and labels asked for, the same in one go, resumed, or in batches of any size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import StorageError
from dpgen.generators.base import Generator, Tags, Task
from dpgen.mechanisms import Checkpoints, Compute, Progress, RunContext, SilentProgress
from dpgen.mechanisms.context import Advance
from dpgen.pipeline import sampling
from dpgen.pipeline.sampling import collected, draw, parts, sample
from dpgen_plugins.diffusion.dpdm import Dpdm
from dpgen_plugins.diffusion.model import fresh_network

INFO = DatasetInfo(Shape(1, 8, 8), ("a", "b", "c"), nominal_records=100)
COUNT, PART = 11, 4


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "PART", PART)


def generator(**sampler: object) -> Generator:
    """With random weights, also where a fresh network has zeros."""
    made = Dpdm(Dpdm.Config.model_validate({"network": {"base": 4}, "sampler": {"steps": 3} | sampler}))
    torch.manual_seed(0)
    network = fresh_network(made.config.network, INFO, seed=0)
    state = {name: tensor + 0.1 * torch.randn(tensor.shape) for name, tensor in network.state_dict().items()}
    made.load_state_dict(state, task())
    return made


def task(count: int = COUNT, shares: tuple[float, ...] | None = None) -> Task:
    return Task(INFO, None, count, class_shares=shares)


class Stopped(Exception):
    """Stands for the end of the process."""


class StopsAfter(Progress):
    def __init__(self, images: int) -> None:
        self._images = images

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            if done > self._images:
                raise Stopped

        yield advance


def test_exactly_so_many_with_labels_as_even_as_can_be() -> None:
    for count in (1, PART, PART + 1, COUNT):
        made = sample(generator(), task(count), count, seed=0)
        assert made.images.shape == (count, 1, 8, 8)
        assert made.labels.tolist() == [row * 3 // count for row in range(count)]


def test_labels_as_asked_and_in_the_shares_of_the_task() -> None:
    wanted = torch.tensor([2, 0, 1, 1, 2, 0, 0, 2])
    assert torch.equal(sample(generator(), task(8), 8, labels=wanted, seed=0).labels, wanted)
    made = sample(generator(), task(10, (0.6, 0.2, 0.2)), 10, seed=0)
    assert torch.bincount(made.labels).tolist() == [6, 2, 2]


def test_parts_are_other_images_and_the_first_is_that_of_the_seed() -> None:
    same = torch.zeros(2 * PART, dtype=torch.int64)
    made = sample(generator(), task(), 2 * PART, labels=same, seed=5).images
    assert not torch.allclose(made[:PART], made[PART:], atol=1e-3)
    assert torch.equal(made[:PART], generator().sample(PART, labels=same[:PART], seed=5).images)
    seeds = {part.seed for seed in range(50) for part in parts(generator(), task(), COUNT, seed=seed)}
    assert len(seeds) == 150


@pytest.mark.parametrize("churn", [0.0, 5.0])
def test_an_image_does_not_depend_on_the_batch_that_it_is_drawn_in(churn: float) -> None:
    whole, *others = (sample(generator(batch=batch, churn=churn), task(), COUNT, seed=1) for batch in (11, 1, 3))
    for other in others:
        torch.testing.assert_close(other.images, whole.images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("images", [0, 4, 6, 10])
def test_what_was_drawn_before_a_stop_is_kept_and_not_drawn_again(images: int) -> None:
    expected = sample(generator(), task(), COUNT, seed=0)
    checkpoints = Checkpoints()
    with pytest.raises(Stopped):
        draw(generator(batch=1), task(), RunContext(checkpoints=checkpoints, progress=StopsAfter(images)))
    before = [checkpoints.has(f"run.sample.{start}") for start in (0, 4, 8)]
    assert before == [images >= 4, images >= 8, False]
    asked: list[int] = []
    other = generator()
    draw_one = other.sample

    def counted(count: int, **options: object):  # type: ignore[no-untyped-def]
        asked.append(count)
        return draw_one(count, **options)  # type: ignore[arg-type]

    other.sample = counted  # type: ignore[method-assign]
    context = RunContext(checkpoints=checkpoints)
    draw(other, task(), context)
    assert asked == [size for size, there in zip((4, 4, 3), before, strict=True) if not there]
    made = collected(other, task(), context)
    torch.testing.assert_close(made.images, expected.images, rtol=0, atol=0.5 / 255 + 1e-5)
    assert torch.equal(made.labels, expected.labels)


def test_what_is_collected_is_what_was_asked_for() -> None:
    context = RunContext(checkpoints=Checkpoints())
    draw(generator(), task(), context)
    short = context.checkpoints.load("run.sample.4")
    assert short is not None
    context.checkpoints.save("run.sample.4", {name: tensor[:2] for name, tensor in short.tensors.items()})
    with pytest.raises(StorageError, match="expected 4 images"):
        collected(generator(), task(), context)


def test_a_generator_that_is_not_divisible_draws_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dpdm, "tags", Tags())
    (only,) = parts(generator(), task(), COUNT, seed=3)
    assert (only.rows, only.seed, only.labels) == (range(COUNT), 3, None)


@pytest.mark.parametrize("compute", [Compute(precision="bfloat16"), Compute(channels_last=True)])
def test_compute_changes_images_by_rounding_alone(compute: Compute) -> None:
    plain, other = generator(), generator()
    other.sample_on(RunContext(compute=compute))
    first, second = (each.sample(4, seed=0).images for each in (plain, other))
    assert float((first - second).abs().mean()) < 0.02


def test_progress_is_that_of_the_whole() -> None:
    seen: list[int] = []

    class Notes(SilentProgress):
        @contextmanager
        def track(self, phase: str, total: int) -> Iterator[Advance]:
            assert (phase, total) == ("sample", COUNT)
            yield seen.append

    draw(generator(batch=2), task(), RunContext(progress=Notes()))
    assert sum(seen) == COUNT
