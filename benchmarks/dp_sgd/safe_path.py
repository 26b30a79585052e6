"""What safety costs: a real `PrivateDataset.release(DpSgd(...))` against a bare loop of clipped sums on the same rows.

The difference of two steps of seconds would drown a hundredth in noise. So the loss sees only a corner of each image,
which cuts the time of the gradients some fifty times and leaves everything else as large as it is: 60,000 records to
sample from, all parameters, and the randomness of whole images. The difference is then compared with the gradient step
on whole images.

The bare loop draws from an ordinary generator, computes the same clipped sums, takes an Adam step and keeps an average.
In the difference: Poisson sampling, row randomness addressed by record, the float64 sum, secure noise, checks, and one
checkpoint, written to disk, every 25 steps. Once a release, and so listed by themselves: the ledger's entry on disk and
its price, the rehearsal, and the digest of the weights at the start. The key is fixed, so that every release draws the
same samples and the smallest of some repeats is one of like with like.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.dp_sgd.cases import CLASSES, CLIP_NORM, Case, row_losses
from benchmarks.dp_sgd.measuring import processor_seconds, take_turns
from benchmarks.record import Goal
from dpgen.accountants import PldAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Plan
from dpgen.data import DatasetInfo, PrivateDataset, Shape
from dpgen.data.datasets import ArrayRecords
from dpgen.ledger import Ledger
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.dp_sgd import DpSgd, clipped_gradient_sum
from dpgen.noise import PublicRows, RowRandom, SecureNoise

RECORDS, VIEWS, CORNER, STEPS = 60_000, 8, 4, 26
"""From the first step's end to the last one's: 25 steps and one checkpoint."""
EXPECTED_EXAMPLES = (4, 16)
"""Of the two steps that are measured: small ones, where safety weighs most."""
PAPER_ROWS = 55_000 // 14 * 32
"""Of one step of the benchmark platform's MNIST runs: 1/14 of the records, 32 views each."""
HIGHEST_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class SafePath:
    """Seconds of processor time per step of `rows` rows on average; `gradients` is that of the clipped sum."""

    case: str
    views: int
    rows: float
    release: float
    bare: float
    safety: float
    gradients: float
    share: float
    """Of safety in the gradients' time."""
    once: float
    """Seconds that a release spends once: from its start to the end of its first step, less a usual step."""


@dataclass
class _Watch:
    """The clock at each step's end, and how many examples each pass of each later step had."""

    ends: list[float] = field(default_factory=list)
    passes: list[list[int]] = field(default_factory=list)

    def inputs(self, images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> tuple[Tensor, ...]:
        """As diffusion training does: whole images, noise on each pixel, one noise level a row."""
        if self.passes:
            self.passes[-1].append(len(images))
        rows = images.repeat_interleave(views, 0)
        return rows + random.normal(*rows.shape[1:]), random.normal(), labels.repeat_interleave(views)

    def after_step(self, module: nn.Module, step: int) -> None:
        """Called by the release."""
        self.ends.append(time.process_time())
        self.passes.append([])


def safe_path(case: Case, expected_examples: int, repeats: int, *, records: int = RECORDS) -> SafePath:
    """One case with so many examples expected in a step."""
    images = torch.randint(0, 256, (records, case.channels, case.side, case.side), dtype=torch.uint8)
    data, network = ArrayRecords(images, torch.arange(records) % CLASSES), case.network()
    releases, bares, once, passes = list[float](), list[float](), list[float](), list[list[int]]()
    for _ in range(repeats):
        start, watch = time.process_time(), _release(network, case, data, expected_examples / records)
        passes = watch.passes[:-1]
        releases.append((watch.ends[-1] - watch.ends[0]) / len(passes))
        once.append(watch.ends[0] - start - releases[-1])
        bares.append(processor_seconds(lambda p=passes: _bare(network, data, p)) / len(passes))
    rows = sum(map(sum, passes)) * VIEWS / len(passes)
    gradients = _gradient_seconds(case, network, repeats) * rows / case.rows
    safety = min(releases) - min(bares)
    return SafePath(
        case=case.name,
        views=VIEWS,
        rows=rows,
        release=min(releases),
        bare=min(bares),
        safety=safety,
        gradients=gradients,
        share=safety / gradients,
        once=min(once),
    )


def _release(network: nn.Module, case: Case, data: ArrayRecords, probability: float) -> _Watch:
    watch, records = _Watch(), len(data.ids)
    training = DpSgd(
        module=network,
        inputs=watch.inputs,
        loss=_corner_losses,
        views=VIEWS,
        clip_norm=CLIP_NORM,
        noise_multiplier=1.0,
        sampling_probability=probability,
        steps=STEPS,
        nominal_records=records,
        optimizer=partial(torch.optim.Adam, lr=1e-4),
        after_step=watch.after_step,
    )
    names = tuple(str(label) for label in range(CLASSES))
    info = DatasetInfo(shape=Shape(case.channels, case.side, case.side), class_names=names, nominal_records=records)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(PldAccountant(), Budget(10.0, 1e-5, ADD_OR_REMOVE_ONE), path=Path(folder) / "ledger.jsonl")
        ledger.adopt(Plan((Charge("train", training.event(ADD_OR_REMOVE_ONE)),)))
        context = RunContext(checkpoints=Checkpoints(Path(folder)), physical_batch=case.rows)
        noise = SecureNoise(bytes(range(32)))
        PrivateDataset(data, info, ledger=ledger, noise=noise, context=context).release(training, label="train")
    return watch


def _bare(network: nn.Module, data: ArrayRecords, passes: Sequence[Sequence[int]]) -> None:
    """What nobody can leave out: rows, clipped sums, an optimizer's step, an average."""
    module, generator = copy.deepcopy(network), torch.Generator().manual_seed(0)
    optimizer, average = (
        torch.optim.Adam(module.parameters(), lr=1e-4),
        [p.detach().clone() for p in module.parameters()],
    )
    for step in passes:
        total: dict[str, Tensor] = {}
        for examples in step:
            images, labels = data.batch(np.arange(examples, dtype=np.int64))
            random = PublicRows(examples * VIEWS, generator, torch.device("cpu"))
            rows = _Watch().inputs(images, labels, views=VIEWS, random=random)
            found = clipped_gradient_sum(module, _corner_losses, rows, views=VIEWS, clip_norm=CLIP_NORM)
            total = {name: tensor + total[name] if total else tensor for name, tensor in found.sum.items()}
        for name, parameter in module.named_parameters():
            parameter.grad = total[name] / sum(step) if total else None
        optimizer.step()
        for mean, parameter in zip(average, module.parameters(), strict=True):
            mean.lerp_(parameter.detach(), 0.001)


def _gradient_seconds(case: Case, network: nn.Module, repeats: int) -> float:
    """Of one clipped sum of the case's rows, whole images."""
    rows = case.inputs()
    step = partial(clipped_gradient_sum, network, row_losses, rows, views=VIEWS, clip_norm=CLIP_NORM)
    return take_turns({"dpgen": step}, repeats, processor_seconds)["dpgen"].best


def _corner_losses(network: nn.Module, images: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
    return row_losses(network, images[:, :, :CORNER, :CORNER], levels, labels)


def share_of(rows: float, found: Sequence[SafePath]) -> float:
    """Share in a step of any size: safety and gradients each cost so much a step and so much a row."""
    small, large = (choose(found, key=lambda one: one.rows) for choose in (min, max))

    def seconds(of: Callable[[SafePath], float]) -> float:
        slope = (of(large) - of(small)) / (large.rows - small.rows)
        return of(large) + slope * (rows - large.rows)

    return seconds(lambda one: one.safety) / seconds(lambda one: one.gradients)


def goals(found: Sequence[SafePath]) -> Iterator[Goal]:
    """Judged in a step of the benchmark platform's size, from the cost per step and per row of the sizes measured."""
    share = share_of(PAPER_ROWS, found)
    yield Goal(f"safe path's share of a step of {PAPER_ROWS} rows", share, HIGHEST_SHARE, at_least=False)
