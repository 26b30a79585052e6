"""One spelling for every source: a registered name, or a path."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dpgen.data.sources.base import ImageSource, declared_class_names
from dpgen.data.sources.folder import FolderSource
from dpgen.data.sources.limited import LimitedSource, split_limit
from dpgen.data.sources.npz import NpzSource
from dpgen.data.sources.parquet import ParquetSource
from dpgen.errors import ConfigError, DataError, UnknownName

_SUFFIXES = (".parquet", ".npz")


def open_source(
    spelling: str,
    *,
    named: Mapping[str, type[ImageSource]],
    class_names: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    may_be_absent: bool = False,
) -> ImageSource:
    """The source that `spelling` means; nothing is read yet.

    Args: `spelling` a name in `named`, else a path, relative to the current directory: a folder of class folders, an
    `.npz` file, a `.parquet` file, or a pattern such as `train-*.parquet` whose files are taken by name. A name wins
    over a folder of that name; spell the folder `./name`. `[:2000]` behind either takes its first 2,000 images alone.
    `class_names` the owner's declaration, in the order of the labels, for path sources. `options` go to a registered
    source as keyword arguments; path sources have none.
    `may_be_absent`: a path whose class names are declared need not exist until it is loaded, so that a run can be
    priced on a machine that does not hold the data.
    Raises: `UnknownName`, `DataError` when nothing is at a path, `ConfigError` for an option that the source has not.
    """
    options = dict(options or {})
    whole, count = split_limit(spelling)
    if count is not None:
        source = open_source(whole, named=named, class_names=class_names, options=options, may_be_absent=may_be_absent)
        return LimitedSource(source, count)
    if spelling in named:
        return _registered(named[spelling], class_names, options)
    path = Path(spelling).expanduser()
    absent = may_be_absent and class_names is not None and not path.exists()
    folder = path.is_dir() or (absent and not path.suffix)
    if not folder and path.suffix not in _SUFFIXES:
        if len(path.parts) > 1 and not path.exists():
            raise DataError(
                f"expected a folder of class folders, a .parquet or an .npz file at {path.absolute()}; found none. "
                "Check the path; to plan where the data is not, declare data.classes."
            )
        raise UnknownName("data source", spelling, named, hint="Or a path to a folder, .parquet or .npz.")
    if options:
        raise ConfigError(f"a path has no options; found {', '.join(options)} for {spelling!r}. Remove them.")
    if folder:
        return FolderSource(path, class_names=class_names)
    files = [path] if absent else _files(path)
    if path.suffix == ".parquet":
        return ParquetSource(files, class_names=class_names)
    if len(files) != 1:
        raise DataError(f"expected one .npz file; found several for {spelling!r}. Spell one of them.")
    return NpzSource(files[0], class_names=class_names)


def matching(path: Path) -> list[Path]:
    """The file or folder at `path`, or all that the pattern in its last part matches, by name; none is no error."""
    return [path] if path.exists() else sorted(path.parent.glob(path.name))


def _files(path: Path) -> list[Path]:
    files = matching(path)
    if not files:
        raise DataError(f"expected a file at {path.absolute()}; found none. Check the path.")
    return files


def _registered(source: type[ImageSource], class_names: Sequence[str] | None, options: dict[str, Any]) -> ImageSource:
    known = [name for name in inspect.signature(source).parameters if name != "self"]
    for option in options:
        if option not in known:
            close = get_close_matches(option, known, n=1)
            mend = f"Did you mean {close[0]!r}?" if close else "Remove it."
            raise ConfigError(
                f"data source {source.name!r} has the options {', '.join(known) or 'none'}; found {option!r}. {mend}"
            )
    opened = source(**options)
    if class_names is not None and declared_class_names(class_names) != opened.class_names():
        raise ConfigError(
            f"data source {source.name!r} has its own class names; found another declaration. Remove class_names."
        )
    return opened
