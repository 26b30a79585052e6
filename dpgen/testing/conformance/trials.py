"""What a check is given: the class under test, toy data, and what it did on them, computed once and kept."""

from __future__ import annotations

import copy
import tempfile
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np

from dpgen.accountants.base import Accountant
from dpgen.accountants.pld import PldAccountant
from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, NeighboringRelation, Plan
from dpgen.data.datasets import PublicDataset
from dpgen.errors import UnsupportedEvent
from dpgen.generators.base import Generator, PublicInfo, Task
from dpgen.ledger import Ledger
from dpgen.mechanisms.base import Mechanism, Records
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.mechanisms.context import RunContext
from dpgen.noise import NoiseSource, SeededNoise
from dpgen.testing.conformance.data import RECORDS, TOY_INFO, Pair, pairs, public_images, toy_records
from dpgen.testing.conformance.observation import FreeAccountant, NotedProgress, Observation, Stopped
from dpgen.testing.conformance.surroundings import surroundings
from dpgen.testing.conformance.watched import EveryoneJoins, WatchedDataset, WatchedRecords
from dpgen.testing.replay import TOLERANCE, RecordingNoise, ReplayNoise
from dpgen.testing.tape import Array, Comparison, Tape, arrays

LABEL = "conformance"
SAMPLES = 7
"""Images of a sample: no multiple of the number of classes."""


@dataclass(frozen=True)
class Conditions:
    """How a run is done. None of these may change what it charges; `checkpoints` and `ledger` outlive a stopped run.

    With `sampled` the Poisson samples are drawn; without it every sample holds all records, the worst case.
    """

    relation: NeighboringRelation = ADD_OR_REMOVE_ONE
    physical_batch: int = 256
    global_seed: int = 0
    seed: int = 0
    sampled: bool = False
    refusing: bool = False
    stop_after: int | None = None
    checkpoints: Checkpoints | None = None
    ledger: Path | None = None


class Trial(ABC):
    """One object that touches private records, and its runs on toy data."""

    @abstractmethod
    def plan(self, relation: NeighboringRelation) -> Plan:
        """What a run charges under `relation`."""

    @abstractmethod
    def _act(self, private: WatchedDataset, records: WatchedRecords, plan: Plan, context: RunContext) -> Any:
        """Do what the object is for; what it gives back ends up in `Observation.value`."""

    @abstractmethod
    def _released(self, value: Any) -> dict[str, Array]:
        """Everything in `value` that may leave the owner, by name."""

    @abstractmethod
    def accountant(self) -> Accountant:
        """Prices the charges of a run."""

    @cached_property
    def plans(self) -> dict[NeighboringRelation, Plan]:
        """The plan under each relation that the accountant can price: planning takes longer than a tiny fit."""
        found = {}
        for relation in NeighboringRelation:
            with suppress(UnsupportedEvent):  # no accountant prices it under this relation: it is refused, not unsafe
                found[relation] = self.plan(relation)
        return found

    @cached_property
    def recorded(self) -> Observation:
        """The run on the toy records under add-or-remove-one, everyone in every sample."""
        return self.observe(toy_records())

    @cached_property
    def by_relation(self) -> dict[NeighboringRelation, Observation]:
        """The run on the toy records under each relation that it can be planned for."""
        others = {relation: Conditions(relation=relation) for relation in self.plans}
        others.pop(ADD_OR_REMOVE_ONE, None)
        return {ADD_OR_REMOVE_ONE: self.recorded} | {
            relation: self.observe(toy_records(), how) for relation, how in others.items()
        }

    @cached_property
    def neighbours(self) -> tuple[tuple[Pair, Observation, Observation], ...]:
        """For each pair of neighbours a recorded run on the first and its replay on the second."""
        compared = []
        for pair in pairs():
            conditions = Conditions(relation=pair.relation)
            if pair.relation not in self.plans:
                continue
            whole = len(pair.first.ids) == RECORDS
            first = self.by_relation[pair.relation] if whole else self.observe(pair.first, conditions)
            compared.append((pair, first, self.observe(pair.second, conditions, replaying=first.tape)))
        return tuple(compared)

    def observe(
        self, records: Records, conditions: Conditions | None = None, *, replaying: Tape | None = None
    ) -> Observation:
        """Run on `records`; with the noisy outputs of `replaying` fed back where it is given.

        An exception of the run is kept in the result. `Stopped` too leaves an observation without a value.
        """
        how = conditions or Conditions()
        with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
            kept, published = Path(name).resolve(), Path(name).resolve() / "published"
            published.mkdir()
            traces = stack.enter_context(surroundings(allowed=kept, global_seed=how.global_seed))
            seen = Observation(Tape(how.seed), traces, WatchedRecords(records))
            context = self._context(how, seen, published)
            try:
                seen.value = self._run(seen, how, context, replaying)
                seen.release = self._released(seen.value) | _files(published)
            except Exception as error:
                seen.error = error
            except Stopped:
                pass
        return seen

    def _run(self, seen: Observation, how: Conditions, context: RunContext, replaying: Tape | None) -> Any:
        comparison = None if replaying is None else Comparison(replaying, changed_ids=2, tolerance=TOLERANCE)
        source: NoiseSource = SeededNoise(how.seed)
        source = source if how.sampled else EveryoneJoins(source)
        noise = RecordingNoise(source, seen.tape) if comparison is None else ReplayNoise(source, comparison)
        plan = self.plans[how.relation]
        with Ledger(self.accountant(), self.budget(how.relation), path=how.ledger) as ledger:
            if not how.refusing:
                ledger.adopt(plan)
            private = WatchedDataset(seen.records, TOY_INFO, ledger=ledger, noise=noise, context=context)
            try:
                value = self._act(private, seen.records, plan, context)
            finally:
                seen.charges = ledger.charges
        if comparison is not None and replaying is not None:
            comparison.finish(replaying.release)  # every recorded call must have been made
        return value

    @staticmethod
    def budget(relation: NeighboringRelation) -> Budget:
        """What the runs may spend."""
        return Budget(8.0, 1e-3, relation)

    @staticmethod
    def _context(how: Conditions, seen: Observation, published: Path) -> RunContext:
        return RunContext(
            checkpoints=how.checkpoints or Checkpoints(),
            progress=NotedProgress(seen.progress, how.stop_after),
            published=published,
            physical_batch=how.physical_batch,
        )


@final
class MechanismTrial(Trial):
    """A mechanism made for `TOY_INFO`, released once under the label `conformance`."""

    def __init__(self, mechanism: Mechanism[Any]) -> None:
        self.subject = mechanism

    def plan(self, relation: NeighboringRelation) -> Plan:
        """One charge, the mechanism's event."""
        return Plan((Charge(LABEL, self.subject.event(relation)),))

    def _act(self, private: WatchedDataset, records: WatchedRecords, plan: Plan, context: RunContext) -> Any:
        mechanism = copy.deepcopy(self.subject)
        return mechanism, private.release(mechanism, label=LABEL)

    def _released(self, value: Any) -> dict[str, Array]:
        return {f"value {place}": array for place, array in enumerate(arrays(value[1]))}

    def accountant(self) -> Accountant:
        """One that charges nothing: no budget is at stake."""
        return FreeAccountant()


@final
class GeneratorTrial(Trial):
    """A generator with small settings: planned, fitted and sampled on toy data, 8 x 8 grey in three classes."""

    def __init__(self, generator: Generator) -> None:
        self.subject = generator

    def fresh(self) -> Generator:
        """A copy that has seen nothing."""
        return copy.deepcopy(self.subject)

    def task(self, *, public: bool | None = None) -> Task:
        """What is planned for, by default with a public set when the tags ask for one."""
        images = self.public if public is None else public_images() if public else None
        known = None if images is None else PublicInfo(images.name, images.shape, images.class_names)
        return Task(TOY_INFO, known, SAMPLES)

    @property
    def public(self) -> PublicDataset | None:
        """The public set, where the tags ask for one."""
        return public_images() if self.subject.tags.needs_public else None

    def plan(self, relation: NeighboringRelation) -> Plan:
        """What a fresh generator plans."""
        return self.fresh().plan(self.task(), self.budget(relation), self.accountant())

    def _act(self, private: WatchedDataset, records: WatchedRecords, plan: Plan, context: RunContext) -> Generator:
        generator = self.fresh()
        generator.fit(private, self.public, plan, context)
        records.close()
        return generator

    def _released(self, value: Generator) -> dict[str, Array]:
        state = {f"state {name}": array for name, tensor in value.state_dict().items() for array in arrays(tensor)}
        synthetic = value.sample(SAMPLES, seed=0)
        return state | {"samples": arrays(synthetic.images)[0], "sampled labels": arrays(synthetic.labels)[0]}

    def accountant(self) -> Accountant:
        """The quickest one that prices the plan."""
        return self._quickest_accountant

    @cached_property
    def _quickest_accountant(self) -> Accountant:
        """The quick one, or the one that prices most where it cannot."""
        task, budget, quick = self.task(), self.budget(ADD_OR_REMOVE_ONE), RdpAccountant()
        try:
            self.fresh().plan(task, budget, quick)
        except UnsupportedEvent:
            return PldAccountant()
        return quick


def _files(folder: Path) -> dict[str, Array]:
    """The files below `folder`, by name."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"file {path.relative_to(folder)}": np.frombuffer(path.read_bytes(), np.uint8) for path in found}
