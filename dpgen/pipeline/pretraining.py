"""`dpgen pretrain`: the public part of a run, made once and kept for every private set and budget."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch

from dpgen.config import Config, DataConfig, validated
from dpgen.data.datasets import PublicDataset
from dpgen.data.info import Shape
from dpgen.data.sources.spelling import open_source
from dpgen.distributed import World, joined
from dpgen.errors import ConfigError, ResumeError, StorageError
from dpgen.generators.pretrained import Manifest, Pretrainable, Pretrained, PublicSet, save_pretrained
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.mechanisms.context import Progress, SilentProgress
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.lineage import require_no_release
from dpgen.pipeline.opening import run_context
from dpgen.pipeline.planning import Named, image_shape, public_source
from dpgen.plugins.registry import Registry, default_registry
from dpgen.storage import FileLock, parse_json, read, remove_durably, write_atomically

UNFINISHED: Final = "unfinished"
"""Where a training that was stopped goes on from; gone when it is finished."""
_SETTINGS: Final = "settings.json"


def pretrain(
    config: Config,
    folder: Path,
    *,
    registry: Registry | None = None,
    progress: Progress | None = None,
    sources: Named = MappingProxyType({}),
    origin: str = "the configuration",
) -> tuple[Manifest, ...]:
    """Train what the method of `config` trains on public images alone, and keep it in `folder`, new or unfinished.

    Privacy: none. Private images are not opened, no budget is needed, nothing is charged; of the private source only
    the image size that it states is asked for, where `[data]` has none. Called again after it was stopped it goes on.
    Started by torchrun, all processes call it and share each batch. `origin` names the configuration in errors.
    Raises: `ConfigError` for a method without such a part or a configuration without a public set; `StorageError`
    for a folder in use; `ResumeError` where another training was begun in it.
    """
    known = registry or default_registry()
    with joined() as world:
        return pretrain_in(world, config, folder, registry=known, progress=progress, sources=sources, origin=origin)


def pretrain_in(
    world: World,
    config: Config,
    folder: Path,
    *,
    registry: Registry,
    progress: Progress | None = None,
    sources: Named = MappingProxyType({}),
    origin: str = "the configuration",
) -> tuple[Manifest, ...]:
    """`pretrain`, by all processes of `world`."""
    generator = world.attempt(lambda: _generator(config, registry, origin))
    public = world.attempt(lambda: _public(config, registry, sources))
    facts = PublicSet.of(public)
    world.require_equal("public images", lambda: facts.sha256)
    if config.compute.threads is not None:
        torch.set_num_threads(config.compute.threads)
    shown = (progress if world.is_first else None) or SilentProgress()
    context = world.attempt(lambda: run_context(config, RunFolder(folder), shown, world))
    context = replace(context, checkpoints=Checkpoints(folder / UNFINISHED), published=None)
    with ExitStack() as held:
        world.from_first(lambda: _enter(folder, _identity(config, facts), held))
        parts = generator.pretrain(public, context)
        return world.from_first(lambda: _kept(folder, parts, facts, seed=config.run.seed))


def _generator(config: Config, registry: Registry, origin: str) -> Pretrainable:
    kind = registry.generator(config.method.name)
    generator = kind(validated(kind.Config, config.method.settings, name=origin, under=("method",)))
    if not isinstance(generator, Pretrainable):
        able = [name for name in registry.generators() if issubclass(registry.generator(name), Pretrainable)]
        raise ConfigError(
            f"expected a method that trains on public images before anything private; found {kind.name!r}. "
            f"There are: {', '.join(able)}."
        )
    return generator


def _public(config: Config, registry: Registry, sources: Named) -> PublicDataset:
    named = {name: registry.dataset(name) for name in registry.datasets()} | dict(sources)
    source = public_source(config.data, named)
    if source is None:
        raise ConfigError("data.public: expected images to train on; found none. Set it.")
    require_no_release(config.data, named)
    table = source.load(_shape(config.data, named))
    return PublicDataset(source.name, table.images, table.labels, table.class_names)


def _shape(data: DataConfig, named: Named) -> Shape:
    """What `[data]` declares, else what the private source states without being opened."""
    if data.size is not None and data.channels is not None:
        return Shape(data.channels, data.size, data.size)
    return image_shape(data, open_source(data.private, named=named, class_names=data.classes))


def _identity(config: Config, public: PublicSet) -> dict[str, Any]:
    """What a training that goes on must share with its beginning."""
    method = config.method.model_dump(mode="json")
    return dict(json.loads(json.dumps({"method": method, "public images": public.sha256, "seed": config.run.seed})))


def _enter(folder: Path, identity: dict[str, Any], held: ExitStack) -> None:
    """Hold `folder` until `held` closes: a new one, or one where this very training was stopped. Writes `identity`."""
    begun = folder / UNFINISHED / _SETTINGS
    if folder.exists() and not begun.exists() and (not folder.is_dir() or any(_other_files(folder))):
        raise StorageError(
            f"expected a new folder, or one where `dpgen pretrain` was stopped; {folder} holds other files. "
            "Choose another one with --output."
        )
    lock = FileLock(folder / UNFINISHED / "lock")
    if not lock.acquire():
        raise StorageError(f"expected to be alone in {folder}; found {lock.holder} at work in it. Wait for it to end.")
    held.callback(lock.release)
    if not begun.exists():
        write_atomically(begun, json.dumps(identity, indent=2).encode())
    elif parse_json(read(begun)) != identity:
        raise ResumeError(
            f"expected the settings, seed and public images that the training in {folder} began with; found others. "
            "Undo the change, or choose another folder with --output."
        )


def _other_files(folder: Path) -> Iterator[Path]:
    """All but an empty `unfinished/`, which a process that died at once leaves."""
    return (path for path in folder.rglob("*") if path.is_file() and path.parent.name != UNFINISHED)


def _kept(folder: Path, parts: Sequence[Pretrained], public: PublicSet, *, seed: int) -> tuple[Manifest, ...]:
    """Write all parts, and only then forget how they came about."""
    manifests = tuple(save_pretrained(folder, part, public, seed=seed) for part in parts)
    remove_durably(folder / UNFINISHED / _SETTINGS)
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    return manifests
