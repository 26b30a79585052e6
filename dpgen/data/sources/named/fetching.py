"""Fetches published files over the network, when asked to, and keeps none whose checksum is not the published one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from dpgen.data.sources.named.facts import NAMED
from dpgen.data.sources.named.place import data_folder
from dpgen.data.sources.named.published import BY_HAND, REMOTE, Remote
from dpgen.errors import DataError, DpgenError, UnknownName


def fetch(name: str, *, told: Callable[[str], None] = lambda text: None) -> Path:
    """The folder of a named set, once all its published files are there and whole.

    A file that is there with the right checksum is not fetched again.
    Raises: `UnknownName`; `DataError` for a set that cannot be fetched, a file that is another one, no network.
    """
    if name not in NAMED:
        raise UnknownName("data set", name, NAMED, hint="`dpgen data list` shows them.")
    folder = data_folder() / name
    if name not in REMOTE:
        raise DataError(
            f"expected a data set that can be fetched: {', '.join(sorted(REMOTE))}; found {name!r}. "
            f"To have it: {BY_HAND[name]}; put the files into {folder}."
        )
    for remote in REMOTE[name]:
        told(f"{remote.url} to {folder / remote.name}")
        _retrieve(remote, folder)
    return folder


def _retrieve(remote: Remote, folder: Path) -> None:
    """One file, whole or not at all: pooch writes beside it, compares, then puts it in place."""
    pooch = _pooch()
    try:
        pooch.retrieve(remote.url, known_hash=remote.checksum, fname=remote.name, path=folder)
    except ValueError:  # a checksum that differs; pooch has removed the file
        raise DataError(
            f"expected {remote.name} with {remote.checksum}; found another file at {remote.url}. Nothing was kept. "
            "Try again later, or get the file from its authors."
        ) from None
    except Exception as error:  # of requests, urllib3 or the system: all of them mean that it did not arrive
        raise DataError(
            f"expected to fetch {remote.url}; it did not arrive ({type(error).__name__}). Check the network, or get "
            f"the file on another machine and put it into {folder}."
        ) from None


def _pooch() -> Any:
    try:
        pooch = import_module("pooch")
    except ImportError:
        raise DpgenError(
            'fetching needs pooch, which is not installed. Install it with `pip install "dpgen[download]"`.'
        ) from None
    pooch.get_logger().setLevel("WARNING")
    return pooch
