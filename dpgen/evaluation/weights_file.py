"""Weights of a public network from a file that the user brings: read without running code, named by its hash."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dpgen.errors import DataError

_FORMATS = (".npz", ".safetensors", ".pt", ".pth")


def read_weights(path: Path, *, sha256: str | None = None) -> tuple[dict[str, Tensor], str]:
    """Tensors by name, and the SHA-256 of the file in hex. Pickled objects are refused: nothing in a file is run.

    Args: `sha256` of the one file that will do, where there is one; nothing of another is read.
    Raises: `DataError` for a file that is missing, of another format or digest, or not a table of tensors.
    """
    if path.suffix not in _FORMATS or not path.is_file():
        raise DataError(f"expected a file of weights ({', '.join(_FORMATS)}); found none at {path}. Give its path.")
    digest = _digest(path)
    if sha256 is not None and digest != sha256:
        raise DataError(
            f"expected the published file of weights, with SHA-256 {sha256}, at {path}; found {digest}. "
            "Download it again, and do not convert it."
        )
    try:
        tensors = _read(path)
    except (
        OSError,
        ValueError,
        RuntimeError,
        EOFError,
        zipfile.BadZipFile,
        SafetensorError,
        pickle.UnpicklingError,
    ) as error:
        raise DataError(
            f"expected weights without pickled objects in {path}; found {type(error).__name__} on reading. "
            "Download the file again, or save a plain state dict with safetensors."
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise DataError(f"expected a table of tensors in {path}; found something else. Save `network.state_dict()`.")
    return tensors, digest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    if path.suffix == ".safetensors":
        return load_file(path)
    found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found
