"""The hooks of dpgen: what a plugin may implement. `docs/reference/hooks.md` shows each with an example.

A registration hook only RETURNS classes: loading a plugin has no side effects and the order of plugins never matters.
An implementation takes only the arguments that it needs, so a later dpgen may add arguments without breaking it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from dpgen.accountants.base import Accountant
    from dpgen.data.info import DatasetInfo
    from dpgen.data.sources.base import ImageSource
    from dpgen.evaluation.base import Metric
    from dpgen.evaluation.extractor import FeatureExtractor
    from dpgen.generators.base import Generator
    from dpgen.mechanisms.base import Mechanism
    from dpgen.plugins.progress_event import ProgressEvent
    from dpgen.record import RunRecord

PROJECT = "dpgen"
"""The project of the markers, and the entry-point group that plugins announce themselves in."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@hookspec
def dpgen_register_generators(api_version: int) -> Sequence[type[Generator]]:  # type: ignore[empty-body]
    """Generator classes, selected by `name`. Each states the `api_version` that it was written for."""


@hookspec
def dpgen_register_mechanisms(api_version: int) -> Sequence[type[Mechanism[Any]]]:  # type: ignore[empty-body]
    """Mechanism classes: ways to learn something about private records at a stated price."""


@hookspec
def dpgen_register_accountants(api_version: int) -> Sequence[type[Accountant]]:  # type: ignore[empty-body]
    """Accountant classes; `[privacy] accountant` selects one by its `name`."""


@hookspec
def dpgen_register_metrics(api_version: int) -> Sequence[type[Metric]]:  # type: ignore[empty-body]
    """Metric classes: one score each."""


@hookspec
def dpgen_register_feature_extractors(api_version: int) -> Sequence[type[FeatureExtractor]]:  # type: ignore[empty-body]
    """Feature extractor classes: fixed maps from images to the features that metrics measure in."""


@hookspec
def dpgen_register_datasets(api_version: int) -> Sequence[type[ImageSource]]:  # type: ignore[empty-body]
    """Image source classes; `[data] private` and `[data] public` select one by its `name`."""


@hookspec
def dpgen_conformance_examples(info: DatasetInfo) -> Sequence[object]:  # type: ignore[empty-body]
    """Small objects of the classes that this plugin brings, made for data like `info`: what `dpgen check` looks at."""


@hookspec
def dpgen_run_finished(record: RunRecord) -> None:
    """Observer, called after the record of a finished run is written. It may not change the run."""


@hookspec
def dpgen_run_progress(event: ProgressEvent, folder: Path) -> None:
    """Tracker, called when a phase of a run begins, advances by a percent, and ends. It may not change the run.

    `event` says nothing that was measured, so it may be sent away. `folder` is the run's `internal/`, for notes that
    stay with the owner.
    """
