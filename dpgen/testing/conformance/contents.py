"""Everything that an object holds, and whether private records are among it."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpgen.testing.conformance.data import OUTLIER, toy_records
from dpgen.testing.tape import Array

_DEPTH = 12
_CLOSED = (type, types.ModuleType, torch.dtype, torch.device)


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every object that `value` holds, with the path to it: attributes, items, closures, bound arguments."""
    seen: dict[int, Any] = {}  # keeps what it has seen alive: an id is unique only as long as its object lives
    waiting: list[tuple[str, Any, int]] = [(type(value).__name__, value, 0)]
    while waiting:
        path, item, depth = waiting.pop()
        if id(item) in seen or isinstance(item, _CLOSED):
            continue
        seen[id(item)] = item
        yield path, item
        if depth < _DEPTH:
            waiting.extend((f"{path}{step}", inner, depth + 1) for step, inner in _inside(item))


def _inside(item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, Tensor | np.ndarray | str | bytes | int | float | bool | None):
        return
    if isinstance(item, Mapping):
        yield from ((f"[{key!r}]", inner) for key, inner in item.items())
    elif isinstance(item, list | tuple | set | frozenset):
        yield from (("[...]", inner) for inner in item)
    for cell in getattr(item, "__closure__", None) or ():
        yield "(closure)", cell.cell_contents
    if isinstance(item, types.MethodType):
        yield ".__self__", item.__self__
    for name in ("func", "args", "keywords") if hasattr(item, "func") else ():
        yield f".{name}", getattr(item, name, None)
    yield from ((f".{name}", inner) for name, inner in getattr(item, "__dict__", {}).items())
    if dataclasses.is_dataclass(item):
        yield from ((f".{f.name}", getattr(item, f.name, None)) for f in dataclasses.fields(item))


def settled(value: Any) -> dict[str, bytes]:
    """The plain contents of `value` by path: numbers, text, tensors. Equal for objects with equal contents."""
    found = {}
    for path, item in walk(value):
        if isinstance(item, Tensor):
            found[path] = item.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        elif isinstance(item, np.ndarray):
            found[path] = item.tobytes()
        elif isinstance(item, str | bytes | int | float | bool):
            found[path] = repr(item).encode()
        elif isinstance(item, list | tuple | Mapping):
            found[path] = str(len(item)).encode()
    return found


def raw_image(arrays: Mapping[str, Array]) -> str | None:
    """The name of an array that holds a private toy image, in any of the usual encodings; None when none does."""
    images, _ = toy_records().batch(np.arange(OUTLIER))  # not the all-white one, which may be there by chance
    needles = [form.tobytes() for image in images for form in _encodings(image)]
    for name, array in arrays.items():
        hay = np.ascontiguousarray(array).tobytes()
        if any(needle in hay for needle in needles):
            return name
    return None


def _encodings(image: Tensor) -> Iterator[Array]:
    unit = image.numpy()
    levels = (unit * 255).round()
    yield levels.astype(np.uint8)
    for values in (unit, levels, 2 * unit - 1):
        yield from (values.astype(kind) for kind in (np.float16, np.float32, np.float64))
