"""What a finished run gives away: built in a staging folder, then put in place in one atomic step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch

from dpgen import report
from dpgen.data.datasets import SyntheticDataset
from dpgen.data.info import Unit
from dpgen.data.writing import contact_sheet, rows_by_class
from dpgen.generators.base import Generator, Task
from dpgen.ledger import read_ledger
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.opening import Opened
from dpgen.pipeline.planning import Prepared
from dpgen.pipeline.storing import SYNTHETIC, write_synthetic
from dpgen.record import LEDGER, RunRecord, caveats, installed_versions
from dpgen.record import NAME as RECORD
from dpgen.storage import digest, read, write_atomically

REPORT, CARD = "report.html", "README.md"
MODEL, WEIGHTS, CONFIG = "model", "weights.safetensors", "config.json"
EXAMPLES = 10
"""Images of each class on the sheet of samples."""

_DISTRIBUTIONS = ("dpgen", "torch", "numpy", "scipy", "randomgen", "prv-accountant", "safetensors")


def publish(
    prepared: Prepared,
    opened: Opened,
    synthetic: SyntheticDataset,
    folder: RunFolder,
    scores: Mapping[str, Any] | None,
) -> RunRecord:
    """Build the release in the staging folder, write the internal report, and put the release in place."""
    staging = folder.staging
    shutil.rmtree(staging / SYNTHETIC, ignore_errors=True)  # of a process that died while it wrote them
    write_synthetic(synthetic, staging / SYNTHETIC, prepared.config.run.format)
    write_model(prepared.generator, prepared.config.method.settings, prepared.task, staging / MODEL)
    write_atomically(staging / report.SAMPLES, samples_sheet(synthetic))
    write_atomically(staging / LEDGER, read(folder.ledger))
    folder.sweep()
    # The choice is free or was charged, so it may be told; no score that led to it, or followed, is in it.
    chosen = None if scores is None else scores["selection"]
    record = _record(prepared, opened, staging, chosen)
    record.write(staging)
    kind = type(prepared.accountant)
    write_atomically(staging / REPORT, report.html(record, staging, accountant=kind).encode())
    write_atomically(staging / CARD, report.card(record).encode())
    internal = report.html(record, staging, internal=True, scores=scores, accountant=kind)
    write_atomically(folder.report, internal.encode())
    folder.complete()
    return record


def write_model(generator: Generator, settings: Mapping[str, Any], task: Task, folder: Path) -> None:
    """The weights as safetensors, and all that is needed to sample from them again as JSON."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.state_dict().items()}
    write_atomically(folder / WEIGHTS, safetensors.torch.save(state))
    facts = {"generator": generator.name, "settings": dict(settings), "task": task_to_json(task)}
    write_atomically(folder / CONFIG, json.dumps(facts, indent=2, ensure_ascii=False).encode())


def samples_sheet(synthetic: SyntheticDataset) -> bytes:
    """A PNG sheet: one named row of images for each class, as wide as the fullest row."""
    names = synthetic.class_names
    fullest = int(synthetic.labels.bincount().max())
    columns = min(EXAMPLES, fullest)
    images = rows_by_class(synthetic.images, synthetic.labels, classes=len(names), columns=columns)
    return contact_sheet(images, columns=columns, row_names=names)


def task_to_json(task: Task) -> dict[str, Any]:
    """The task as plain JSON data."""
    public = task.public_info
    return {
        "info": task.info.to_json(),
        "public": None
        if public is None
        else {"name": public.name, "shape": list(public.shape), "class_names": list(public.class_names)},
        "count": task.count,
        "class_shares": None if task.class_shares is None else list(task.class_shares),
    }


def _record(prepared: Prepared, opened: Opened, staging: Path, selection: Mapping[str, Any] | None) -> RunRecord:
    info, config, private = prepared.task.info, prepared.config, opened.noise.is_private
    stated = caveats(
        prepared.plan,
        prepared.budget,
        records=info.nominal_records,
        private=private,
        tuning=config.evaluation.tuning,
        public_release=config.data.public_release,
    )
    inherited = [text for part in prepared.leading for text in part.caveats if text not in stated]
    guarantee = opened.ledger.guarantee((*stated, *inherited))
    group = None
    if info.unit is Unit.PERSON:
        epsilon, delta = guarantee.for_group(info.max_images_per_person)
        group = {"size": info.max_images_per_person, "epsilon": epsilon, "delta": delta}
    return RunRecord(
        name=config.run.name,
        private=private,
        guarantee=guarantee,
        group=group,
        budget=prepared.budget,
        charges=opened.ledger.charges,
        plan=prepared.plan,
        config=config.public(),
        data=info.to_json(),
        public_data=None if prepared.public is None else prepared.public.name,
        generator=prepared.generator.name,
        cites=prepared.generator.cites,
        seeds={"run": config.run.seed},
        versions=installed_versions(*_DISTRIBUTIONS),
        released=_digests(staging),
        chain=tuple(map(digest, read(staging / LEDGER).splitlines())),
        counted=read_ledger(staging / LEDGER).counted,
        selection=selection,
    )


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but those that are written from the record itself."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: digest(path) for name, path in files.items() if name not in (RECORD, REPORT, CARD)}
