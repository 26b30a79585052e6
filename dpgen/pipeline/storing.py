"""The forms in which synthetic images are stored, and where they lie in a release."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from dpgen.data.datasets import SyntheticDataset
from dpgen.data.writing import check_folder_names, write_folder, write_npz, write_parquet

SYNTHETIC = "synthetic"
"""Folder of a release."""

FORMS = ("auto", "parquet", "npz", "imagefolder")


def write_synthetic(synthetic: SyntheticDataset, folder: Path, form: str) -> Path:
    """Write the images into `folder` in one of `FORMS`, as `train.parquet`, `train.npz` or the folder `train`.

    "auto" is Parquet where pyarrow is installed, else npz.
    """
    if form == "auto":
        form = "parquet" if find_spec("pyarrow") else "npz"
    if form == "imagefolder":
        write_folder(synthetic, folder / "train")
        return folder / "train"
    path = folder / f"train.{form}"
    (write_parquet if form == "parquet" else write_npz)(synthetic, path)
    return path


def stored_images(release: Path) -> Path | None:
    """Where `write_synthetic` put the images of a release; None where there are none."""
    places = (release / SYNTHETIC / name for name in ("train.parquet", "train.npz", "train"))
    return next((place for place in places if place.exists()), None)


def require_form(form: str, class_names: tuple[str, ...]) -> None:
    """Raises: `DataError` where images of these classes cannot be written in `form`. Asked before anything is read."""
    if form == "imagefolder":
        check_folder_names(class_names)
