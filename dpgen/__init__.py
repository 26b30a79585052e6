"""Differentially private synthetic images. Importing this loads no deep-learning library and no plugin.

The names below are the public surface for people who use dpgen or write a plugin. Each is imported when it is first
asked for, so `import dpgen` and `dpgen.hookimpl` stay quick. `__init__.pyi` tells type checkers the same list.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

API_VERSION = 1
"""The version of the contract between dpgen and its plugins; a change that breaks plugins raises it by one."""

_HOMES = {
    "ADD_OR_REMOVE_ONE": "dpgen.budget",
    "REPLACE_ONE": "dpgen.budget",
    "Accountant": "dpgen.accountants.base",
    "Bound": "dpgen.accountants.base",
    "Budget": "dpgen.budget",
    "Charge": "dpgen.budget",
    "Config": "dpgen.config",
    "DatasetInfo": "dpgen.data.info",
    "DpEvent": "dpgen.events",
    "DpgenError": "dpgen.errors",
    "Generator": "dpgen.generators.base",
    "GeneratorConfig": "dpgen.generators.base",
    "Guarantee": "dpgen.budget",
    "ImageSource": "dpgen.data.sources.base",
    "Mechanism": "dpgen.mechanisms.base",
    "Metric": "dpgen.evaluation.base",
    "NeighboringRelation": "dpgen.budget",
    "NoiseSource": "dpgen.noise",
    "Plan": "dpgen.budget",
    "PrivateDataset": "dpgen.data.datasets",
    "Progress": "dpgen.mechanisms.context",
    "ProgressEvent": "dpgen.plugins.progress_event",
    "PublicDataset": "dpgen.data.datasets",
    "PublicInfo": "dpgen.generators.base",
    "Records": "dpgen.mechanisms.base",
    "Registry": "dpgen.plugins.registry",
    "RunContext": "dpgen.mechanisms.context",
    "RunRecord": "dpgen.record",
    "Shape": "dpgen.data.info",
    "SyntheticDataset": "dpgen.data.datasets",
    "Synthesizer": "dpgen.pipeline.synthesizer",
    "Tags": "dpgen.generators.base",
    "Task": "dpgen.generators.base",
    "Unit": "dpgen.data.info",
    "Verification": "dpgen.verification",
    "calibrate": "dpgen.accountants.calibration.search",
    "default_registry": "dpgen.plugins.registry",
    "hookimpl": "dpgen.plugins.hookspecs",
    "run": "dpgen.pipeline",
    "synthesize": "dpgen.pipeline.synthesizer",
    "verify": "dpgen.verification",
}
"""Where each public name is defined."""


def __getattr__(name: str) -> object:
    """Import a public name from its home when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dpgen' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
