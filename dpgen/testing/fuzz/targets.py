"""What a hostile file is given to: every reader of dpgen, each with the valid files to start from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import final

from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.config import load, to_toml
from dpgen.data.decoding import decode
from dpgen.data.info import Shape
from dpgen.data.sources.npz import NpzSource
from dpgen.data.sources.parquet import ParquetSource
from dpgen.errors import DpgenError
from dpgen.events import DpEvent
from dpgen.ledger import Ledger, OwnerLedger, read_ledger
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.pipeline.released import load_released
from dpgen.record import RunRecord
from dpgen.storage import parse_json, read, write_sealed
from dpgen.testing.fuzz import seeds
from dpgen.testing.fuzz.mutators import mutate
from dpgen.testing.toy_run import RECORDS, toy_registry
from dpgen.verification.evidence import gather

SHAPE = Shape(3, 16, 16)


@final
@dataclass(frozen=True)
class Case:
    """One hostile file: which reader gets it, under which name, where it came from, and what lies in its folder."""

    target: str
    name: str
    content: bytes
    origin: str
    beside: Mapping[str, bytes] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Target:
    """One reader: `use` opens the file at a path, `files` are valid ones, `beside` lie in the same folder."""

    name: str
    use: Callable[[Path], object]
    files: Callable[[], Mapping[str, bytes]]
    beside: Callable[[], Mapping[str, bytes]] = dict

    def case(self, seed: int, number: int) -> Case:
        """The hostile file of this number: the same one for the same seed."""
        random = Random(f"{seed} {self.name} {number}")
        name, content = random.choice(sorted(self.files().items()))
        same_kind = [c for n, c in sorted(self.files().items()) if n.rpartition(".")[2] == name.rpartition(".")[2]]
        damaged = mutate(name, content, random.choice(same_kind), random)
        return Case(self.name, name, damaged, f"--seed {seed}, number {number}, from {name}", self.beside())

    def valid(self) -> list[Case]:
        """The valid files."""
        return [Case(self.name, name, content, "valid", self.beside()) for name, content in self.files().items()]


def each(*uses: Callable[[], object]) -> None:
    """Call all of them: a typed error of one does not keep the others from their turn."""
    first: DpgenError | None = None
    for use in uses:
        try:
            use()
        except DpgenError as error:
            first = first or error
    if first is not None:
        raise first


def _table(path: Path) -> None:
    source = NpzSource(path) if path.suffix == ".npz" else ParquetSource([path])
    loads = (lambda: source.load(SHAPE), lambda: source.load(SHAPE, on_corrupt="constant"))
    each(source.class_names, source.native_shape, *loads)


def _checkpoint(path: Path) -> None:
    """As it is, and under a seal of its own: the seal holds no secret, so an attacker can make it."""
    path.rename(path.with_name("raw.checkpoint"))
    write_sealed(path.with_name("sealed.checkpoint"), read(path.with_name("raw.checkpoint")))
    kept = Checkpoints(path.parent)
    with suppress(DpgenError):
        kept.load("raw")
    kept.load("sealed")


def _config(path: Path) -> None:
    config = load(path)
    to_toml(config)
    config.public()
    config.privacy.budget(config.data.records or 3)


def _run_ledger(path: Path) -> None:
    budget = Budget(8.0, 1 / (RECORDS * math.log(RECORDS)), ADD_OR_REMOVE_ONE)  # that of the toy's run
    each(lambda: read_ledger(path), lambda: Ledger(RdpAccountant(), budget, path=path).close())


def _owner_ledger(path: Path) -> None:
    ledger = OwnerLedger(path)
    each(ledger.total, lambda: ledger.reserve("new", 0.1, 1e-9, ADD_OR_REMOVE_ONE), ledger.total)


def _event(path: Path) -> None:
    event = DpEvent.from_json(parse_json(read(path)))
    hash(event)
    str(event)
    if DpEvent.from_json(event.to_json()) != event:
        raise AssertionError("an event must read back as itself")


def _record(path: Path) -> None:
    each(lambda: RunRecord.read(path.parent).to_json(), lambda: gather(path.parent))


@cache
def _of_run(*names: str) -> Mapping[str, bytes]:
    return {name: content for name, content in _run_files().items() if name in names}


_run_files = cache(seeds.run_files)
_MODEL = ("config.json", "weights.safetensors")

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("images", lambda path: decode(path, SHAPE), cache(seeds.image_files)),
        Target("tables", _table, cache(seeds.table_files)),
        Target("checkpoints", _checkpoint, cache(seeds.checkpoint_files)),
        Target("configs", _config, lambda: _of_run("config.toml")),
        Target("ledger", _run_ledger, lambda: _of_run("ledger.jsonl")),
        Target("owner", _owner_ledger, lambda: _of_run("owner.jsonl")),
        Target("events", _event, cache(seeds.event_files)),
        Target("records", _record, lambda: _of_run("run.json")),
        Target(
            "models",
            lambda path: load_released(path.parent.parent, toy_registry()),
            lambda: _of_run(*_MODEL),
            lambda: _of_run(*_MODEL),
        ),
    )
}
"""By name."""
