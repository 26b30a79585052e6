"""A large sample in parts: drawn by all processes of a run, kept one by one, the same however many draw them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, final

import torch
from torch import Tensor

from dpgen.data.datasets import SyntheticDataset
from dpgen.data.writing import eight_bit
from dpgen.errors import StorageError
from dpgen.generators.base import Generator, Task
from dpgen.generators.class_prior import unasked_labels
from dpgen.generators.from_noise import wanted_labels
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.mechanisms.context import Advance, Progress, RunContext, SilentProgress

PART: Final = 1000
"""Images of one part. A constant, for it decides which images a seed stands for."""
_NAME: Final = "run.sample"


@final
@dataclass(frozen=True)
class Part:
    """Some images of a sample: which rows, under which seed, of which classes (None leaves them to the generator)."""

    rows: range
    seed: int
    labels: Tensor | None

    @property
    def name(self) -> str:
        """Of its checkpoint."""
        return f"{_NAME}.{self.rows.start}"


def sample(
    generator: Generator,
    task: Task,
    count: int,
    *,
    labels: Tensor | None = None,
    seed: int,
    progress: Progress | None = None,
) -> SyntheticDataset:
    """`count` images of a fitted generator, those that a run with this `seed` and `count` has released.

    Args: `labels` as in `Generator.sample`; where none are asked for, in the shares of the task's classes.
    """
    images: Tensor | None = None
    classes = []
    with (progress or SilentProgress()).track("sample", count) as advance:
        for part in parts(generator, task, count, labels=labels, seed=seed):
            made = generator.sample(len(part.rows), labels=part.labels, seed=part.seed, progress=_Within(advance, 1))
            images = torch.empty((count, *made.images.shape[1:])) if images is None else images
            images[part.rows.start : part.rows.stop] = made.images.cpu()
            classes.append(made.labels.cpu())
    assert images is not None, "a sample has at least one part"
    return SyntheticDataset(images, torch.cat(classes), task.info.class_names)


def draw(generator: Generator, task: Task, context: RunContext) -> None:
    """Draw the sample of a run and keep it, part by part; what a process that was stopped has kept is not drawn again.

    A meeting: in each round every process of `context.world` draws one part and hands it to the first, which keeps it.
    Of a generator that is not `divisible` the first process draws all.
    """
    world = context.world
    generator.sample_on(context)
    whole = parts(generator, task, task.count, seed=context.seed)
    missing = [part for part in whole if not context.checkpoints.has(part.name)]
    with context.progress.track("sample", task.count) as advance:
        advance(task.count - sum(len(part.rows) for part in missing))
        for start in range(0, len(missing), world.size):
            together = missing[start : start + world.size]
            own = together[world.rank] if world.rank < len(together) else None
            made = world.attempt(partial(_drawn, generator, own, _Within(advance, len(together))))
            for part, tensors in zip(together, world.to_first(made), strict=False):
                assert tensors is not None, "the first processes have a part each"
                context.checkpoints.save(part.name, tensors)


def collected(generator: Generator, task: Task, context: RunContext) -> SyntheticDataset:
    """What `draw` kept, in the 8 bits in which it is released: scores are taken on just these.

    Work of the first process.
    """
    images = torch.empty((task.count, *task.info.shape))
    labels = torch.empty(task.count, dtype=torch.int64)
    for part in parts(generator, task, task.count, seed=context.seed):
        rows, kept = slice(part.rows.start, part.rows.stop), _kept(context.checkpoints, part)
        images[rows], labels[rows] = kept["images"].float() / 255, kept["labels"]
    return SyntheticDataset(images, labels, task.info.class_names)


def parts(generator: Generator, task: Task, count: int, *, labels: Tensor | None = None, seed: int) -> tuple[Part, ...]:
    """The parts of a sample of `count` images; the first one is drawn under `seed` itself."""
    wanted = unasked_labels(task, count) if labels is None else labels
    if count <= PART or not generator.tags.divisible:
        return (Part(range(count), seed, wanted),)
    if wanted is not None or generator.tags.conditional:
        wanted = wanted_labels(count, wanted, task.info)
    starts = range(0, count, PART)
    rows = [range(start, min(start + PART, count)) for start in starts]
    return tuple(Part(r, _seed(seed, r), None if wanted is None else wanted[r.start : r.stop]) for r in rows)


def _seed(seed: int, rows: range) -> int:
    """Of the part that holds these rows: public, and another one for each part and each `seed`."""
    if rows.start == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"dpgen sample {seed} from {rows.start}".encode()).digest()[:7], "big")


def _drawn(generator: Generator, part: Part | None, progress: Progress) -> dict[str, Tensor] | None:
    if part is None:
        return None
    made = generator.sample(len(part.rows), labels=part.labels, seed=part.seed, progress=progress)
    return {"images": eight_bit(made.images.cpu()), "labels": made.labels.cpu()}


def _kept(checkpoints: Checkpoints, part: Part) -> dict[str, Tensor]:
    saved = checkpoints.load(part.name)
    if saved is None or len(saved.tensors["labels"]) != len(part.rows):
        raise StorageError(f"expected {len(part.rows)} images under {part.name!r}; found others. Resume the run.")
    return saved.tensors


@final
class _Within(Progress):
    """The progress of one part within that of the whole; `together` parts are drawn at the same time."""

    def __init__(self, advance: Advance, together: int) -> None:
        self._advance, self._together = advance, together

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        """A share of the whole."""
        yield lambda steps: self._advance(steps * self._together)
