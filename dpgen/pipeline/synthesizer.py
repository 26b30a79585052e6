"""Python in five lines: the pipeline of `dpgen run` behind `fit`, `sample`, `save` and `load`.

>>> import dpgen
>>> tiny = {"network": {"base": 4}, "finetune": {"steps": 2, "expected_batch": 16}, "sampler": {"steps": 2}}
>>> made = dpgen.synthesize("digits", epsilon=8.0, method="dpdm", public=None, settings=tiny, count=20)
>>> made.guarantee.epsilon_upper <= 8.0, tuple(made.synthetic.images.shape)
(True, (20, 1, 8, 8))
>>> len(made.sample(5, seed=1))  # free, any number of times
5
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack, final

from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dpgen.budget import ADD_OR_REMOVE_ONE, Guarantee, NeighboringRelation
from dpgen.config import Config, overridden, validated
from dpgen.data.datasets import SyntheticDataset
from dpgen.data.sources.base import ImageSource
from dpgen.data.sources.spelling import open_source
from dpgen.errors import ConfigError, InvalidValue, StorageError
from dpgen.mechanisms.context import Progress
from dpgen.pipeline.arrays import ARRAYS, in_memory
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.released import load_released
from dpgen.pipeline.run import run
from dpgen.pipeline.sampling import sample
from dpgen.pipeline.storing import stored_images
from dpgen.plugins.registry import Registry, default_registry
from dpgen.record import RunRecord

Images = str | Path | NDArray[Any] | Tensor


class FitOptions(TypedDict, total=False):
    """What `synthesize` hands on to `Synthesizer.fit`, where each is explained."""

    class_names: Sequence[str] | None
    records: int | None
    size: int | None
    channels: int | None
    count: int
    out: str | Path | None
    resume: bool
    progress: Progress | None


@final
class Synthesizer:
    """A method and a budget; `fit` spends the budget on private images once, `sample` is free.

    Args: `epsilon`, `delta`, `relation` the guarantee, as in `[privacy]`; `method` a registered generator, `settings`
    its own (the keys of `[method]`); `public` images that anyone may see, a registered name or a path, or None for
    methods that need none; `seed` of public randomness; `overrides` any other setting, spelt as for `--set`:
    `"privacy.ledger=owner.jsonl"`.
    Raises: `ConfigError`, `UnknownName` when fitting, before anything is opened.
    """

    def __init__(
        self,
        method: str = "privimage",
        *,
        epsilon: float,
        delta: float | Literal["auto"] = "auto",
        relation: NeighboringRelation = ADD_OR_REMOVE_ONE,
        settings: Mapping[str, Any] | None = None,
        public: str | None = "glyphs",
        seed: int = 0,
        overrides: Sequence[str] = (),
        registry: Registry | None = None,
    ) -> None:
        self._privacy = {"epsilon": epsilon, "delta": delta, "relation": str(relation)}
        self._method = {"name": method, **(settings or {})}
        self._public, self._seed, self._overrides = public, seed, tuple(overrides)
        self._registry = registry or default_registry()
        self._release: Path | None = None

    def fit(
        self,
        private: Images,
        labels: ArrayLike | Tensor | None = None,
        *,
        class_names: Sequence[str] | None = None,
        records: int | None = None,
        size: int | None = None,
        channels: int | None = None,
        count: int = 1000,
        out: str | Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Run the whole pipeline on `private`: plan, charge, train, make `count` images, record.

        Privacy: spends at most the budget, of which the record keeps every charge. `records`, the declared number of
        private images, is published and never counted from the data: only embedded sets state one themselves.
        Args: `private` a registered name or a path, or arrays as in `dpgen.pipeline.arrays.in_memory`, which need
        `labels` and `class_names`; `size`, `channels` what all images are brought to; `out` the run folder. Without
        one the run lives in a private temporary folder that ends with this object, and cannot be resumed: `save` it.
        Raises: what `dpgen.run` raises.
        """
        spelling, sources = _source(private, labels, class_names, records)
        root = self._temporary() if out is None else Path(out)
        declared: dict[str, Any] = {"private": spelling, "records": records, "size": size, "channels": channels}
        if not sources and class_names is not None:
            declared["classes"] = list(class_names)
        config = self._config(declared, root, count)
        run(config, registry=self._registry, progress=progress, resume=resume, sources=sources)
        self._release = RunFolder(config.run.folder).release
        return self

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """`count` more images, free of privacy cost: as `Generator.sample`, `labels` by default in the run's shares.

        Raises: `InvalidValue` before `fit`.
        """
        generator, task = load_released(self._fitted, self._registry)
        return sample(generator, task, count, labels=labels, seed=seed, progress=progress)

    def save(self, folder: str | Path) -> Path:
        """Copy the release to `folder`, which must be new: images, weights, record, ledger and pages, all public.

        Raises: `InvalidValue` before `fit`, `StorageError` where the folder is there or cannot be written.
        """
        target = Path(folder)
        if target.exists():
            raise StorageError(f"expected a new folder; {target} is there already. Choose another name.")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as staging:
                shutil.copytree(self._fitted, Path(staging) / "whole").replace(target)  # all of it appears, or nothing
        except OSError as error:
            raise StorageError(
                f"expected to write {target}; found: {error.strerror}. Check the path and the disk."
            ) from error
        return target

    @classmethod
    def load(cls, folder: str | Path, *, registry: Registry | None = None) -> Self:
        """What `save` wrote, or any finished run: ready to sample. Raises: `StorageError`."""
        root = RunFolder(Path(folder))
        release = root.release if root.finished else Path(folder)
        config = RunRecord.read(release).config
        privacy, method = config["privacy"], dict(config["method"])
        loaded = cls(
            method.pop("name"),
            epsilon=privacy["epsilon"],
            delta=privacy["delta"],
            relation=NeighboringRelation(privacy["relation"]),
            settings=method,
            public=config["data"].get("public"),
            seed=config["run"]["seed"],
            registry=registry,
        )
        loaded._release = release
        return loaded

    @property
    def record(self) -> RunRecord:
        """What the run did, as it is released. Raises: `InvalidValue` before `fit`."""
        return RunRecord.read(self._fitted)

    @property
    def guarantee(self) -> Guarantee:
        """What was proved, its caveats included. Raises: `InvalidValue` before `fit`."""
        return self.record.guarantee

    @property
    def synthetic(self) -> SyntheticDataset:
        """The images of the release. Raises: `InvalidValue` before `fit`."""
        _, task = load_released(self._fitted, self._registry)
        place, info = stored_images(self._fitted), task.info
        table = open_source(str(place), named={}, class_names=info.class_names).load(info.shape)
        return SyntheticDataset(table.images.float() / 255, table.labels, table.class_names)

    def _config(self, declared: dict[str, Any], root: Path, count: int) -> Config:
        """The configuration of one run: these facts about the data, and the settings of this object."""
        data = declared | {"public": self._public}
        tables = {
            "privacy": dict(self._privacy),
            "data": {key: value for key, value in data.items() if value is not None},
            "method": dict(self._method),
            "run": {"name": "synthesizer", "output": str(root), "count": count, "seed": self._seed},
        }
        return validated(Config, overridden(tables, self._overrides), name="the synthesizer's settings")

    @property
    def _fitted(self) -> Path:
        if self._release is None:
            raise InvalidValue(
                "expected a fitted synthesizer; found a fresh one. Call `fit` or `Synthesizer.load` first."
            )
        return self._release

    def _temporary(self) -> Path:
        root = tempfile.mkdtemp(prefix="dpgen-")  # for this user's eyes alone
        weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)
        return Path(root)


def synthesize(
    private: Images,
    labels: ArrayLike | Tensor | None = None,
    *,
    epsilon: float,
    delta: float | Literal["auto"] = "auto",
    method: str = "privimage",
    settings: Mapping[str, Any] | None = None,
    public: str | None = "glyphs",
    overrides: Sequence[str] = (),
    **fit: Unpack[FitOptions],
) -> Synthesizer:
    """Private images in, a fitted `Synthesizer` out: `.synthetic`, `.guarantee`, `.sample`, `.save`.

    Privacy: spends (`epsilon`, `delta`) under add-or-remove-one; for another relation make a `Synthesizer`.
    Args: as those of `Synthesizer` and, in `fit`, of `Synthesizer.fit`: `class_names`, `records`, `size`, `count`,
    `out` and the others. Raises: as those.
    """
    chosen = Synthesizer(method, epsilon=epsilon, delta=delta, settings=settings, public=public, overrides=overrides)
    return chosen.fit(private, labels, **fit)


def _source(
    private: Images, labels: ArrayLike | Tensor | None, class_names: Sequence[str] | None, records: int | None
) -> tuple[str, dict[str, type[ImageSource]]]:
    """How the configuration spells the private images, and the source of those in memory."""
    if isinstance(private, str | Path):
        if labels is not None:
            raise ConfigError(
                "expected labels with arrays alone; found them beside a path, which has its own. Drop them."
            )
        return str(private), {}
    if labels is None or class_names is None or records is None:
        raise ConfigError(
            "arrays need labels=, class_names= (in label order) and records= (a round number close to the truth: it is "
            "published, the true number is private); found one missing. Give all three."
        )
    return ARRAYS, {ARRAYS: in_memory(private, labels, class_names)}
