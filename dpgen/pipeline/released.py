"""A released model, ready to sample: from `release/model` alone, so free of privacy cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from dpgen import report
from dpgen.config import validated
from dpgen.data.datasets import SyntheticDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import DpgenError, StorageError
from dpgen.generators.base import Generator, PublicInfo, Task
from dpgen.pipeline.release import CONFIG, MODEL, WEIGHTS, samples_sheet
from dpgen.pipeline.storing import write_synthetic
from dpgen.plugins.registry import Registry
from dpgen.record import NAME as RECORD
from dpgen.record import SOURCE
from dpgen.storage import parse_json, write_atomically


def load_released(run: Path, registry: Registry) -> tuple[Generator, Task]:
    """The fitted generator of a run folder or of its release folder, and the task it was fitted for.

    Raises: `StorageError` when there is no model or it is damaged; `UnknownName` when its plugin is not installed.
    """
    release = _release(run)
    try:
        facts = parse_json((release / MODEL / CONFIG).read_bytes())
        state = safetensors.torch.load_file(release / MODEL / WEIGHTS)
        task = task_from_json(facts["task"])
        name, settings = str(facts["generator"]), dict(facts["settings"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        raise StorageError(
            f"expected a released model in {release / MODEL}; it cannot be read ({type(error).__name__}). "
            "Give the folder of a finished run."
        ) from error
    kind = registry.generator(name)
    generator = kind(validated(kind.Config, settings, name="the released model", under=("settings",)))
    try:
        generator.load_state_dict(state, task)
    except DpgenError:
        raise
    except Exception as error:  # of another shape, or of another network: torch and plugins word it each in their way
        raise StorageError(
            f"expected weights that fit the settings in {release / MODEL}; found others ({type(error).__name__}). "
            "Restore the release from a backup."
        ) from error
    return generator, task


def _release(run: Path) -> Path:
    return run / "release" if (run / "release").is_dir() else run


def task_from_json(data: dict[str, Any]) -> Task:
    """The task that `task_to_json` wrote."""
    public = data["public"]
    public_info = None
    if public is not None:
        public_info = PublicInfo(public["name"], Shape(*public["shape"]), tuple(public["class_names"]))
    shares = data.get("class_shares")
    return Task(
        DatasetInfo.from_json(data["info"]), public_info, data["count"], None if shares is None else tuple(shares)
    )


def require_writable(folder: Path, *, source: Path) -> bytes:
    """The record of `source`, to go beside images in `folder`. Ask before they are made: that can take long.

    Raises: `StorageError` unless `folder` is new or empty and `source` has its record.
    """
    if folder.is_file():
        raise StorageError(f"expected a folder; {folder} is a file. Choose another place with --out.")
    if folder.exists() and any(folder.iterdir()):
        raise StorageError(f"expected a new or empty folder; {folder} holds files. Choose another one with --out.")
    try:
        return (_release(source) / RECORD).read_bytes()
    except OSError as error:
        raise StorageError(
            f"expected the record {RECORD} in {_release(source)}; it cannot be read ({type(error).__name__}), and "
            "images without it would not tell what they cost. Restore the release from a backup."
        ) from error


def write_samples(made: SyntheticDataset, folder: Path, form: str, *, source: Path) -> tuple[Path, Path]:
    """Write images drawn from `source` and a sheet of them into `folder`, new or empty; their two paths.

    `source` is the folder of the run, or its release. Its record is copied beside the images: they owe to the private
    ones what the release does, and a run that took them for its public set must count that.
    Raises: `StorageError` for a folder in use, or a source without a record.
    """
    record = require_writable(folder, source=source)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / SOURCE, record)
    images, sheet = write_synthetic(made, folder, form), folder / report.SAMPLES
    write_atomically(sheet, samples_sheet(made))
    return images, sheet
