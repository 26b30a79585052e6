"""A whole run on made-up images in about a second: data on disk, a configuration, and a registry that knows the toy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dpgen.config import Config, from_toml
from dpgen.plugins.registry import Registry
from dpgen.testing.toy import ToyPlugin, toy_images

CLASS_NAMES = ("low", "middle", "high")
RECORDS = 300

_CONFIG = """
[privacy]
epsilon = 8.0
delta = "auto"
relation = "add_or_remove_one"
accountant = "rdp"

[data]
private = "{folder}/private.npz"
public = "{folder}/public.npz"
records = 300

[method]
name = "toy"
steps = 40

[compute]
threads = 1
device = "cpu"

[run]
name = "toy"
output = "{folder}/run"
count = 30
"""


def toy_registry() -> Registry:
    """What dpgen itself brings, and the toy generator."""
    registry = Registry.installed(only=["builtin", "diffusion"])
    registry.register(ToyPlugin, name="toy")
    return registry


def toy_config(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a run on made-up private, public and test images, which are written into `folder`.

    The run has no scores; `data.test=FOLDER/test.npz` and small `evaluation.steps` give it some.
    """
    for seed, (name, count) in enumerate({"private": RECORDS, "public": 60, "test": 60}.items()):
        path = folder / f"{name}.npz"
        if not path.exists():
            images, labels = toy_images(count, classes=len(CLASS_NAMES), seed=seed)
            np.savez(path, images=images, labels=labels, class_names=np.array(CLASS_NAMES))
    return from_toml(_CONFIG.format(folder=folder), overrides)
