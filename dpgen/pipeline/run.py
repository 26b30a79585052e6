"""A whole run, as one straight line: plan, open, fit, sample, evaluate, record."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import MappingProxyType

import torch

from dpgen.budget import EARLIER_RELEASE
from dpgen.config import Config
from dpgen.data.datasets import SyntheticDataset
from dpgen.distributed import World, joined
from dpgen.evaluation.private_test import TestSplit
from dpgen.mechanisms.context import Progress, RunContext, SilentProgress
from dpgen.noise import NoiseSource
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.observing import ObservedProgress
from dpgen.pipeline.opening import Opened, fixed_settings, open_run, run_context
from dpgen.pipeline.planning import Named, Prepared, prepare
from dpgen.pipeline.prior import with_counted_shares
from dpgen.pipeline.release import publish
from dpgen.pipeline.sampling import collected, draw
from dpgen.pipeline.validation import selection
from dpgen.plugins.registry import Registry, default_registry
from dpgen.plugins.tracking import Trackers
from dpgen.record import RunRecord
from dpgen.storage import write_atomically

_ALONE = World()
_log = logging.getLogger("dpgen.pipeline")


def run(
    config: Config,
    *,
    registry: Registry | None = None,
    progress: Progress | None = None,
    resume: bool = False,
    noise: NoiseSource | None = None,
    sources: Named = MappingProxyType({}),
) -> RunRecord:
    """Turn the private images of `config` into synthetic ones, in the folder `config.run.folder`.

    Privacy: charges exactly the plan, priced before anything is opened and within `[privacy]`. A run that was stopped
    continues with `resume`: nothing is charged twice, no released answer is drawn again. A finished run is returned
    as it is. `noise` is for tests: a source that is not private stamps the record "not private".
    `sources` are known by name besides the registered ones.
    Started by torchrun, all processes call it and share the work; the first one writes the folder.
    Raises: what `prepare` raises, before anything is opened; `StorageError` for a folder in use; `DataError` for
    corrupt data, before anything is charged; `ResumeError` for changed settings or data; `DistributedError` for
    processes that differ, or of which one is gone.
    """
    known = registry or default_registry()
    with joined() as world:
        prepared = world.attempt(lambda: prepare(config, known, sources=sources))
        return execute(prepared, registry=known, progress=progress, resume=resume, noise=noise, world=world)


def execute(
    prepared: Prepared,
    *,
    registry: Registry,
    progress: Progress | None = None,
    resume: bool = False,
    noise: NoiseSource | None = None,
    world: World = _ALONE,
) -> RunRecord:
    """`run`, for a plan that was made and perhaps shown before, by all processes of `world`."""
    folder, trackers = RunFolder(prepared.config.run.folder), registry.trackers()
    shown = _observed(prepared, folder, progress, trackers) if world.is_first else None
    context = world.attempt(lambda: run_context(prepared.config, folder, shown or SilentProgress(), world))
    with ExitStack() as held:
        record = world.from_first(lambda: _enter(prepared, folder, held, resume=resume, noise=noise))
        if record is not None:
            return record
        record = _run(prepared, folder, context, noise)
    if world.is_first:
        registry.run_finished(record)
        trackers.warn()
    return record


def _observed(prepared: Prepared, folder: RunFolder, progress: Progress | None, trackers: Trackers) -> Progress:
    """The progress that is shown, and the same told to the trackers."""
    return ObservedProgress(
        progress or SilentProgress(),
        trackers,
        run=prepared.config.run.name,
        cumulative=prepared.cumulative,
        folder=folder.internal,
    )


def _enter(
    prepared: Prepared, folder: RunFolder, held: ExitStack, *, resume: bool, noise: NoiseSource | None
) -> RunRecord | None:
    """Lock the folder until `held` closes; the record where the run in it is finished. Work of the first process."""
    folder.check(resume=resume)
    held.enter_context(folder.locked())
    folder.check(resume=resume)  # again: another process may have begun in between
    if not folder.finished:
        held.enter_context(_logged(folder))
        return None
    if folder.begun:  # unless the owner has removed internal/
        folder.require_settings(fixed_settings(prepared, is_private=noise is None or noise.is_private))
    folder.forget_key()
    return RunRecord.read(folder.release)


def _run(prepared: Prepared, folder: RunFolder, context: RunContext, noise: NoiseSource | None) -> RunRecord:
    if prepared.config.compute.threads is not None:
        torch.set_num_threads(prepared.config.compute.threads)
    opened = open_run(prepared, folder, context=context, noise=noise)
    with opened.ledger:
        _count_earlier_release(prepared, opened)
        task = with_counted_shares(prepared.task, prepared.plan, opened.private, opened.context)
        prepared = dataclasses.replace(prepared, task=task)
        _fit(prepared, opened)
        draw(prepared.generator, prepared.task, context)
        _log.info("sampled")
        return context.world.from_first(lambda: _finish(prepared, opened, folder))


def _count_earlier_release(prepared: Prepared, opened: Opened) -> None:
    """Charge what a release that serves as public set cost, before anything is learnt from it. Reads nothing."""
    if EARLIER_RELEASE in prepared.plan:
        event = prepared.plan[EARLIER_RELEASE]
        opened.context.world.from_first(lambda: opened.ledger.charge(event, label=EARLIER_RELEASE))


def _finish(prepared: Prepared, opened: Opened, folder: RunFolder) -> RunRecord:
    """All that follows from the fitted generator. Work of the first process."""
    opened = dataclasses.replace(opened, context=opened.context.alone())
    synthetic = collected(prepared.generator, prepared.task, opened.context)
    scores = _evaluate(prepared, opened, synthetic, folder)
    record = publish(prepared, opened, synthetic, folder, scores)
    _log.info("finished")
    return record


def _fit(prepared: Prepared, opened: Opened) -> None:
    """Fit, or take the fitted state of the process that was stopped after it."""
    generator, context = prepared.generator, opened.context
    fitted = context.checkpoints.load("run.fit")
    if fitted is None:
        generator.fit(opened.private, opened.public, prepared.fitting, context)
        context.checkpoints.save("run.fit", generator.state_dict())
    else:
        state = {name: tensor.to(context.device) for name, tensor in fitted.tensors.items()}
        generator.load_state_dict(state, prepared.task)
    _log.info("fitted")


def _evaluate(
    prepared: Prepared, opened: Opened, synthetic: SyntheticDataset, folder: RunFolder
) -> dict[str, object] | None:
    """Scores against the private test split, for `internal/` alone; None where the owner gave no such split."""
    if opened.test is None:
        return None
    if not folder.scores.exists():  # the split is opened once, also when the run was stopped after its scores
        config, context = prepared.config, opened.context
        protocol = prepared.scoring.protocol(
            TestSplit(opened.test.images, opened.test.labels, opened.test.class_names),
            opened.public,
            selection=selection(config.evaluation, prepared.budget, opened.validation, context),
            training=opened.training,
            seed=config.run.seed,
            device=context.device,
            progress=context.progress,
        )
        scores = protocol.evaluate(synthetic)
        write_atomically(folder.scores, json.dumps(scores.to_json(), indent=2, allow_nan=False).encode())
        _log.info("evaluated")
    return dict(json.loads(folder.scores.read_bytes()))


@contextmanager
def _logged(folder: RunFolder) -> Iterator[None]:
    """Write what dpgen logs to `internal/run.log`: phases and public facts, never content."""
    handler = logging.FileHandler(folder.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger = logging.getLogger("dpgen")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(level, logging.INFO) if level else logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()
