"""From a plan to a run: the data is loaded and found whole, the budget reserved, the run key written, in that order."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpgen.budget import EARLIER_RELEASE, Budget
from dpgen.config import Config
from dpgen.data.datasets import ArrayRecords, PrivateDataset, PublicDataset
from dpgen.data.sources.base import ImageSource, ImageTable
from dpgen.distributed import World
from dpgen.errors import ConfigError, PrivacyError
from dpgen.ledger import Ledger, OwnerLedger
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.mechanisms.compute import Compute
from dpgen.mechanisms.context import Progress, RunContext
from dpgen.noise import NoiseSource, SecureNoise
from dpgen.pipeline.folder import RunFolder, keyed_digest
from dpgen.pipeline.planning import Prepared
from dpgen.storage import digest

_log = logging.getLogger("dpgen.pipeline")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A run that may charge: its data behind a handle, its ledger, and what surrounds it."""

    private: PrivateDataset
    public: PublicDataset | None
    test: ImageTable | None
    validation: PrivateDataset | None
    """For the noisy choice alone, which is work of the first process; None where the choice is free."""
    training: Tensor | None
    """The private training images, where a score looks for copies; for `internal/` alone."""
    ledger: Ledger
    noise: NoiseSource
    context: RunContext


def open_run(prepared: Prepared, folder: RunFolder, *, context: RunContext, noise: NoiseSource | None) -> Opened:
    """Begin the run in `folder`, or pick up the one begun there. Nothing is charged to the run's ledger yet.

    Of several processes each loads the data; the first one alone begins the run and reserves its budget, once all of
    them have been found to hold the same data and the same plan.
    Raises: `DataError` before anything is reserved or charged; `ResumeError` for other data or settings;
    `DistributedError` for processes that differ; `BudgetExceeded` where the data owner's ledger has too little left.
    """
    world = context.world
    loaded = world.attempt(lambda: _load(prepared, is_first=world.is_first))
    settings = fixed_settings(prepared, is_private=noise is None or noise.is_private)
    _require_one_run(world, settings, loaded.private)
    key = world.from_first(lambda: _begin(prepared, folder, settings, loaded))
    ledger = world.attempt(lambda: _ledger(prepared, folder.ledger if world.is_first else None))
    source = SecureNoise(key) if noise is None else noise

    def handle(table: ImageTable, context: RunContext) -> PrivateDataset:
        records = ArrayRecords(table.images, table.labels)
        return PrivateDataset(records, prepared.task.info, ledger=ledger, noise=source, context=context)

    return Opened(
        private=handle(loaded.private, context),
        public=loaded.public,
        test=loaded.test,
        validation=None if loaded.validation is None else handle(loaded.validation, context.alone()),
        training=loaded.private.images if prepared.scoring.needs_training else None,
        ledger=ledger,
        noise=source,
        context=context,
    )


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """All images of a run; `test` and `validation` in the first process alone, which takes the scores."""

    private: ImageTable
    public: PublicDataset | None
    test: ImageTable | None
    validation: ImageTable | None


def _load(prepared: Prepared, *, is_first: bool) -> _Loaded:
    """Every image is decoded before anything is charged, so that a corrupt file costs no budget."""
    config, shape = prepared.config, prepared.task.info.shape

    def private(source: ImageSource | None) -> ImageTable | None:
        return None if source is None else source.load(shape, on_corrupt=config.data.on_corrupt)

    loaded = _Loaded(
        private=prepared.private.load(shape, on_corrupt=config.data.on_corrupt),
        public=None if prepared.public is None else _public(prepared, prepared.public.load(shape)),
        test=private(prepared.test) if is_first else None,
        validation=private(prepared.validation) if is_first else None,
    )
    if loaded.test is not None:
        prepared.scoring.require_ready(test=len(loaded.test), synthetic=config.run.count, shape=shape)
    return loaded


def _require_one_run(world: World, settings: dict[str, Any], table: ImageTable) -> None:
    """All processes must have the same settings, plan and private data. Nothing is written or charged yet."""
    world.require_equal("settings and plan", lambda: digest(json.dumps(settings, sort_keys=True).encode()))
    passing = world.from_first(lambda: secrets.token_bytes(32))  # for this comparison alone
    world.require_equal("private data", lambda: keyed_digest(passing, _content(table)))


def _begin(prepared: Prepared, folder: RunFolder, settings: dict[str, Any], loaded: _Loaded) -> bytes:
    """The run key, once the run is begun and its budget reserved. Work of the first process."""
    fresh = not folder.begun
    key = _run_key(prepared, folder, settings, loaded)
    _reserve(prepared, folder, fresh=fresh)
    return key


def _ledger(prepared: Prepared, path: Path | None) -> Ledger:
    """The run's ledger, bound to its plan; the others' are in memory and never charged."""
    ledger = Ledger(prepared.accountant, prepared.budget, path=path)
    try:
        ledger.adopt(prepared.plan)
    except BaseException:
        ledger.close()
        raise
    return ledger


def run_context(config: Config, folder: RunFolder, progress: Progress, world: World) -> RunContext:
    """What surrounds the run; touches nothing yet. Raises: `ConfigError` for a device that this machine has not."""
    rows = config.compute.physical_batch
    return RunContext(
        device=device_named(config.compute.device, world),
        checkpoints=Checkpoints(folder.checkpoints),
        progress=progress,
        seed=config.run.seed,
        published=folder.staging,
        physical_batch=RunContext.physical_batch if rows == "auto" else rows,
        fit_to_memory=rows == "auto",
        compute=Compute(
            precision=config.compute.precision,
            channels_last=config.compute.channels_last,
            compile=config.compute.compile,
        ),
        world=world,
    )


def device_named(name: str, world: World) -> torch.device:
    """The device meant: "auto" is a CUDA device where there is one, else the CPU; "cuda" is this process's own one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{world.local_rank}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f'compute.device: expected "auto" or a device of this machine; found {name!r}. Set it to "auto" or "cpu".'
        ) from error
    return device


def _public(prepared: Prepared, table: ImageTable) -> PublicDataset:
    assert prepared.public is not None
    return PublicDataset(prepared.public.name, table.images, table.labels, table.class_names)


def _run_key(prepared: Prepared, folder: RunFolder, settings: dict[str, Any], loaded: _Loaded) -> bytes:
    # All that noise is drawn for: one noise on two versions of a set would tell them apart.
    read = [table for table in (loaded.private, loaded.validation) if table is not None]
    if folder.begun:
        _log.info("resumed")
        return folder.resume(settings, _content(*read))
    key = SecureNoise().key
    folder.begin(settings, _content(*read), name=prepared.config.run.name, key=key)
    _log.info("begun")
    return key


def fixed_settings(prepared: Prepared, *, is_private: bool) -> dict[str, Any]:
    """What a resumed run must share with its beginning: everything but `[compute]` and the place of the folder.

    The kind of noise too: what a test double drew is kept in checkpoints, and must never be stamped private.
    """
    config = prepared.config.model_dump(mode="json", exclude={"compute": True, "run": {"output"}})
    plan = [charge.to_json() for charge in prepared.plan.charges]
    double = {} if is_private else {"noise": "a test double"}
    earlier = [part.note for part in prepared.leading if part.charge.label == EARLIER_RELEASE]
    lineage = {"earlier release": earlier} if earlier else {}
    return dict(json.loads(json.dumps({"config": config, "plan": plan} | double | lineage)))


def _content(*tables: ImageTable) -> Iterator[memoryview]:
    """All that the records are, byte for byte."""
    for table in tables:
        yield memoryview(repr((tuple(table.images.shape), table.class_names)).encode())
        for tensor in (table.images, table.labels):
            yield tensor.contiguous().numpy().reshape(-1).view(np.uint8).data


def _reserve(prepared: Prepared, folder: RunFolder, *, fresh: bool) -> None:
    """Put the run's whole budget on the data owner's ledger; a resumed run finds its own line there and adds none."""
    privacy, budget = prepared.config.privacy, prepared.budget
    if privacy.ledger is None:
        return
    try:
        owner = OwnerLedger(Path(privacy.ledger))
        if privacy.ledger_epsilon is not None and privacy.ledger_delta is not None:
            cap = Budget(privacy.ledger_epsilon, privacy.ledger_delta, budget.relation)
            owner = OwnerLedger.create(Path(privacy.ledger), cap)
        owner.reserve(folder.run_id, budget.epsilon, budget.delta, budget.relation)
    except PrivacyError:
        if fresh:
            folder.abandon()
        raise
