"""`dpgen sample`: more images from a released model, at no privacy cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from dpgen.cli.commands.options import Json, Quiet

if TYPE_CHECKING:
    from torch import Tensor

    from dpgen.data.info import DatasetInfo


def sample(
    run: Annotated[Path, typer.Argument(help="A run folder, or its release folder.")],
    count: Annotated[int, typer.Option(help="Images to make.", min=1)] = 1000,
    labels: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Class names, comma-separated; images are dealt over them evenly. Default: as the run's."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Public seed: equal seeds give equal images.", min=0)] = 0,
    out: Annotated[Optional[Path], typer.Option(help="Folder for the images; default RUN/samples/SEED.")] = None,  # noqa: UP045
    form: Annotated[str, typer.Option("--format", help="parquet, npz, imagefolder or auto.")] = "auto",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make more images from a released model. Reads the release alone: post-processing, free of privacy cost."""
    from dpgen.cli.output import Output
    from dpgen.cli.tables import facts_table
    from dpgen.errors import ConfigError
    from dpgen.pipeline.released import load_released, require_writable, write_samples
    from dpgen.pipeline.sampling import sample as draw_sample
    from dpgen.pipeline.storing import FORMS, require_form
    from dpgen.plugins.registry import default_registry
    from dpgen.record import NAME as RECORD

    if form not in FORMS:
        raise ConfigError(f"--format is one of {', '.join(FORMS)}; found {form!r}. Choose one of them.")
    output = Output(json=json, quiet=quiet)
    generator, task = load_released(run, default_registry())
    require_form(form, task.info.class_names)
    wanted = None if labels is None else _dealt(labels, task.info, count)
    root = run.resolve().parent if (run / RECORD).exists() else run  # a release stays as it was recorded
    folder = root / "samples" / str(seed) if out is None else out
    require_writable(folder, source=run)
    with output.progress({}) as progress:
        made = draw_sample(generator, task, count, labels=wanted, seed=seed, progress=progress)
    written = write_samples(made, folder, form, source=run)
    facts = {"images": str(written[0]), "sheet": str(written[1]), "count": count, "seed": seed, "privacy_cost": 0}
    output.result(facts, facts_table(facts))


def _dealt(names: str, info: DatasetInfo, count: int) -> Tensor:
    """Labels `[count]`, the wanted classes in turn. Raises: `ConfigError` for an unknown class."""
    import torch

    from dpgen.errors import ConfigError

    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in info.class_names]
    if unknown:
        raise ConfigError(f"unknown class {unknown[0]!r}; known: {', '.join(info.class_names)}. Correct --labels.")
    labels = torch.tensor([info.class_names.index(name) for name in wanted], dtype=torch.int64)
    return labels[torch.arange(count) % len(labels)]
