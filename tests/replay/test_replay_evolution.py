"""Private Evolution under replay, and its faults as twins that are caught."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, NeighboringRelation
from dpgen.data.datasets import ArrayRecords, PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.generators import Task
from dpgen.ledger import Ledger
from dpgen.mechanisms import Checkpoints, RunContext, histogram
from dpgen.noise import NoiseSource, SeededNoise
from dpgen.testing.replay import ReplayMismatch, record, replay
from dpgen_plugins.evolution import pe
from dpgen_plugins.evolution.examples import examples

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b", "c"), nominal_records=24)
LONER = 23
"""The only record of its class."""


def records() -> ArrayRecords:
    images = torch.randint(0, 256, (24, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(24) % 2
    images[LONER], labels[LONER] = 255, 2
    return ArrayRecords(images, labels)


def fitting(
    data: ArrayRecords,
    relation: NeighboringRelation = ADD_OR_REMOVE_ONE,
    context: RunContext | None = None,
    ledger_file: Path | None = None,
) -> Callable[[NoiseSource], Mapping[str, Tensor]]:
    def run(noise: NoiseSource) -> Mapping[str, Tensor]:
        (generator,) = examples()
        budget, accountant = Budget(8.0, 1e-3, relation), RdpAccountant()
        plan = generator.plan(Task(INFO, None, 4), budget, accountant)
        surroundings = context or RunContext()
        with Ledger(accountant, budget, path=ledger_file) as ledger:
            ledger.adopt(plan)
            private = PrivateDataset(data, INFO, ledger=ledger, noise=noise, context=surroundings)
            generator.fit(private, None, plan, surroundings)
        return generator.state_dict()

    return run


def without(missing: int) -> None:
    replay(fitting(records().without(missing)), record(fitting(records())), relation=ADD_OR_REMOVE_ONE)


@pytest.mark.parametrize("missing", [0, LONER])
def test_the_same_path_without_a_record(missing: int) -> None:
    without(missing)


def test_the_same_path_with_another_record_in_the_place_of_one() -> None:
    other = records()
    other._images[LONER], other._labels[LONER] = 0, 1
    replay(fitting(other, REPLACE_ONE), record(fitting(records(), REPLACE_ONE)), relation=REPLACE_ONE)


def test_more_votes_than_were_priced_are_dropped_and_without_that_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pe.NearestVotes, "__call__", lambda self, images, labels: torch.arange(6).repeat(len(images), 1)
    )
    without(0)
    monkeypatch.setattr(histogram, "_first_distinct", lambda votes, *, cells, limit: votes)
    with pytest.raises(ReplayMismatch, match=r"input moved 2.45, declared sensitivity 1.41, release 'votes-1#"):
        without(0)


def test_survivors_of_the_clean_counts_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise is drawn and priced; what survives is decided without it."""
    clean = {}

    def listening(self, *given, honest=histogram.NoisyHistogram._counted):  # type: ignore[no-untyped-def]
        clean["counts"] = honest(self, *given)
        return clean["counts"]

    honest = pe.survivors
    monkeypatch.setattr(histogram.NoisyHistogram, "_counted", listening)
    monkeypatch.setattr(
        pe, "survivors", lambda population, counts, **rest: honest(population, 5 * clean["counts"], **rest)
    )
    with pytest.raises(ReplayMismatch):
        without(LONER)


def test_clean_counts_beside_the_release_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Reference fault P14: the published code logs the sum, the number above 0 and the largest of the clean counts.

    A replay compares the model; what lies beside it is compared here, for two neighbours with the same noise.
    """

    def published(folder: Path, data: ArrayRecords) -> list[bytes]:
        tape_noise = SeededNoise(0)
        fitting(data, context=RunContext(published=folder))(tape_noise)
        return [path.read_bytes() for path in sorted(folder.iterdir())]

    def pair(name: str) -> list[list[bytes]]:
        folders = [tmp_path / f"{name}-{side}" for side in ("first", "second")]
        for folder in folders:
            folder.mkdir()
        return [published(folders[0], records()), published(folders[1], records().without(LONER))]

    assert pair("honest") == [[], []]
    honest = pe.Pe._one_round

    def logging(self, round_, population, private, plan, api, extract, context):  # type: ignore[no-untyped-def]
        labels = private._records.batch(private._records.ids)[1]
        context.publish(f"votes-{round_}.txt", str(2 * len(labels)).encode())  # the sum of clean counts
        return honest(self, round_, population, private, plan, api, extract, context)

    monkeypatch.setattr(pe.Pe, "_one_round", logging)
    first, second = pair("twin")
    assert first != second


class Stopped(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_run_that_is_stopped_between_any_two_steps_goes_on_where_it_was(
    after: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Rounds are charges of their own: none is asked twice, whether the vote was kept or the population already."""
    whole, releases = fitting(records())(SeededNoise(0)), []
    honest, checkpoints = Checkpoints.save, Checkpoints()

    def stopping(self, name, tensors, facts=None):  # type: ignore[no-untyped-def]
        honest(self, name, tensors, facts)
        releases.append(name)
        if len(releases) == after:
            raise Stopped

    how = {"context": RunContext(checkpoints=checkpoints), "ledger_file": tmp_path / "ledger.jsonl"}
    monkeypatch.setattr(Checkpoints, "save", stopping)
    with pytest.raises(Stopped):
        fitting(records(), **how)(SeededNoise(0))  # type: ignore[arg-type]
    monkeypatch.setattr(Checkpoints, "save", honest)
    resumed = fitting(records(), **how)(SeededNoise(0))  # type: ignore[arg-type]
    assert torch.equal(resumed["population"], whole["population"])
    charges = [line for line in (tmp_path / "ledger.jsonl").read_text().splitlines() if '"charge"' in line]
    assert len(charges) == 2
