"""Scores for any synthetic images, made by dpgen or not, against real ones: the protocol of a run, by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError

from dpgen.config.tables import EvaluationConfig
from dpgen.data.datasets import PublicDataset, SyntheticDataset
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageSource, ImageTable
from dpgen.data.sources.folder import FolderSource
from dpgen.data.sources.spelling import open_source
from dpgen.distributed import World
from dpgen.errors import ConfigError, DataError
from dpgen.evaluation.private_test import TestSplit
from dpgen.evaluation.scores import Scores
from dpgen.mechanisms.context import Progress
from dpgen.pipeline.opening import device_named
from dpgen.pipeline.release import CONFIG, MODEL
from dpgen.pipeline.scoring import scoring
from dpgen.pipeline.storing import stored_images
from dpgen.plugins.registry import Registry
from dpgen.storage import parse_json, read

_DEFAULTS = EvaluationConfig()

Named = dict[str, type[ImageSource]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared: all spelt as in a configuration, a registered name or a path.

    `synthetic` may also be a run folder of dpgen, or its release. `training` holds the images that the generator was
    fitted to, for metrics that look for copies. `shape` and `class_names` default to what the sources state; of class
    folders and Parquet, whose schemas state no size, to the size of the first synthetic image.
    """

    synthetic: str
    real: str
    public: str | None = None
    training: str | None = None
    shape: Shape | None = None
    class_names: Sequence[str] | None = None


def evaluate(
    comparison: Comparison,
    registry: Registry,
    wanted: EvaluationConfig = _DEFAULTS,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Scores:
    """Score the synthetic images against the real ones, which are opened once, after the classifier is fixed.

    Privacy: reads real images without protection and charges nothing. Every score that did says that it is not part of
    a DP release.
    Args: `wanted` the metrics, extractor and classifiers, as in `[evaluation]`.
    Raises: `DataError`, `ConfigError`, `UnknownName` before any training.
    """
    if wanted.selection != "held_out_synthetic":
        raise ConfigError(
            "expected a free choice of the classifier, on held-out synthetic images; found evaluation.selection = "
            f"{wanted.selection!r}, which charges a ledger. Run it as part of a run (`dpgen run`)."
        )
    named = {name: registry.dataset(name) for name in registry.datasets()}
    has_public = comparison.public is not None
    scoring(wanted, registry, Shape(1, 1, 1), has_public=has_public)  # a wrong name is refused before any loading
    place_of_work = device_named(device, World())
    place = _images(comparison.synthetic)
    synthetic, real = _opened(place, named, comparison), _opened(comparison.real, named, comparison)
    names = tuple(comparison.class_names or real.class_names())
    shape = comparison.shape or _shape(comparison.synthetic, place, (synthetic, real))
    made, test = _table(synthetic, shape, names), _table(real, shape, names)
    protocol = scoring(wanted, registry, shape, has_public=has_public).protocol(
        TestSplit(test.images, test.labels, names),
        None if comparison.public is None else _public(comparison.public, named, shape),
        training=_training(comparison, named, shape, names),
        seed=seed,
        device=place_of_work,
        progress=progress,
    )
    return protocol.evaluate(SyntheticDataset(made.images.float() / 255, made.labels, names))


def _images(spelling: str) -> str:
    """Where the images of a run folder or of a release are; any other spelling stays as it is."""
    found = stored_images(Path(spelling) / "release") or stored_images(Path(spelling))
    return spelling if found is None else str(found)


def _opened(spelling: str, named: Named, comparison: Comparison) -> ImageSource:
    """The source; the class names that were given help out where it states none."""
    source = open_source(spelling, named=named)
    try:
        source.class_names()
    except DataError:
        if comparison.class_names is None:
            raise
        return open_source(spelling, named=named, class_names=comparison.class_names)
    return source


def _shape(spelling: str, place: str, sources: Sequence[ImageSource]) -> Shape:
    """What the model beside the images, or a source, states; else the shape of the first synthetic image."""
    for facts in (Path(spelling) / "release" / MODEL / CONFIG, Path(spelling) / MODEL / CONFIG):
        if facts.is_file():
            return Shape(*parse_json(read(facts))["task"]["info"]["shape"])
    stated = [source.native_shape() for source in sources]
    if None not in stated and len(set(stated)) > 1:
        made, real = (f"{shape.height} x {shape.width}, {shape.channels} channels" for shape in stated if shape)
        raise DataError(
            f"expected synthetic and real images of one size; found {made} and {real}. "
            "Say what both are brought to (--size 32 --channels 3)."
        )
    for shape in stated:
        if shape is not None:
            return shape
    if isinstance(sources[0], FolderSource) and (first := _first_image(Path(place))) is not None:
        return first
    raise ConfigError(
        "expected images whose size is stated; found Parquet or files that do not open. "
        "Give the size and the channels (--size 32 --channels 3)."
    )


def _first_image(folder: Path) -> Shape | None:
    """The shape of the first synthetic image; its header alone is read. Synthetic images are nobody's secret."""
    for path in sorted(path for path in folder.glob("*/*") if path.is_file() and not path.name.startswith(".")):
        try:
            with Image.open(BytesIO(read(path))) as image:
                grey = image.mode in ("1", "L", "I;16")
                return Shape(1 if grey else 3, image.height, image.width)
        except (UnidentifiedImageError, OSError, ValueError):
            return None
    return None


def _table(source: ImageSource, shape: Shape, names: tuple[str, ...]) -> ImageTable:
    """The images with their labels counted by `names`, whatever order the source has. Raises: `DataError`."""
    table = source.load(shape)
    if len(table) == 0:
        raise DataError(f"expected images; found none in {source.name} data. Check the path and what is in it.")
    unknown = sorted(set(table.class_names) - set(names))
    if unknown:
        raise DataError(
            f"expected classes among {', '.join(names)}; found {', '.join(map(repr, unknown))} in {source.name} data. "
            "Give both sets the same classes, or declare all of them (--classes a,b,c)."
        )
    places = torch.tensor([names.index(name) for name in table.class_names], dtype=torch.int64)
    return ImageTable(table.images, places[table.labels], names)


def _training(comparison: Comparison, named: Named, shape: Shape, names: tuple[str, ...]) -> torch.Tensor | None:
    if comparison.training is None:
        return None
    return _table(_opened(comparison.training, named, comparison), shape, names).images


def _public(spelling: str, named: Named, shape: Shape) -> PublicDataset:
    source = open_source(spelling, named=named)
    table = source.load(shape)
    return PublicDataset(source.name, table.images, table.labels, table.class_names)
