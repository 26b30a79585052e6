"""`dpgen evaluate`: scores for any synthetic images against real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from dpgen.cli.commands.options import Json, Quiet

if TYPE_CHECKING:
    from dpgen.data.info import Shape

_PLACE = "a folder of class folders, a Parquet or .npz file, or a registered name"


Synthetic = Annotated[str, typer.Argument(help=f"A run folder, {_PLACE}.")]
Real = Annotated[str, typer.Option(help=f"Real images kept for testing: {_PLACE}.")]
Public = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Public images that the features are learnt from; default: fixed cosines of the pixels."),
]
Training = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="The images that the generator was fitted to, for metrics that look for copies."),
]
Metrics = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Registered metrics, comma-separated, or all; default: those of a run."),
]
Extractor = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Registered feature extractor; default: public_cnn with --public, else pixel_cosines."),
]
Weights = Annotated[Optional[str], typer.Option(help="File of weights for the extractor.")]  # noqa: UP045
Classifiers = Annotated[str, typer.Option(help="Architectures, comma-separated: cnn, resnet, wide_resnet, resnext.")]
Seeds = Annotated[int, typer.Option(help="Seeds to train the classifiers for; several give a deviation.", min=1)]
Size = Annotated[Optional[int], typer.Option(help="Height and width that all images are brought to.", min=1)]  # noqa: UP045
Channels = Annotated[Optional[int], typer.Option(help="1 (grey) or 3 (RGB).")]  # noqa: UP045
Classes = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Class names in label order, comma-separated, where the data states none."),
]
Steps = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(help="Training steps of the classifier; default: by image size.", min=1),
]


def evaluate(
    synthetic: Synthetic,
    real: Real,
    public: Public = None,
    training: Training = None,
    metrics: Metrics = None,
    extractor: Extractor = None,
    weights: Weights = None,
    classifiers: Classifiers = "cnn",
    seeds: Seeds = 1,
    size: Size = None,
    channels: Channels = None,
    classes: Classes = None,
    steps: Steps = None,
    seed: Annotated[int, typer.Option(help="The first public seed.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Score synthetic images, dpgen's or not. Reads real images without protection: keep the scores to yourself."""
    from dpgen.cli.output import Output
    from dpgen.cli.score_tables import scores_table
    from dpgen.config.tables import EvaluationConfig
    from dpgen.pipeline.evaluating import Comparison
    from dpgen.pipeline.evaluating import evaluate as score
    from dpgen.plugins.registry import default_registry

    output, registry = Output(json=json, quiet=quiet), default_registry()
    comparison = Comparison(
        synthetic=synthetic,
        real=real,
        public=public,
        training=training,
        shape=_shape(size, channels),
        class_names=_names(classes),
    )
    wanted = EvaluationConfig(
        metrics=registry.metrics() if metrics == "all" else _names(metrics),
        extractor=extractor,
        weights=weights,
        classifiers=_names(classifiers) or (),
        seeds=seeds,
        steps=steps,
    )
    with output.progress({}) as progress:
        found = score(comparison, registry, wanted, seed=seed, device=device, progress=progress)
    places = {"synthetic": synthetic, "real": real, "public": public, "training": training}
    output.result(found.to_json() | {"places": places}, scores_table(found))


def _shape(size: int | None, channels: int | None) -> Shape | None:
    """The shape that is asked for. Raises: `ConfigError` for half of it."""
    from dpgen.data.info import Shape
    from dpgen.errors import ConfigError

    if size is None and channels is None:
        return None
    if size is None or channels is None:
        raise ConfigError("expected --size and --channels together; found one of them. Give both, or none.")
    return Shape(channels, size, size)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))
