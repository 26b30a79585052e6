"""A commented configuration to start from, written from the models themselves, so that it cannot fall behind them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dpgen.config.tables import Config
from dpgen.config.whole import inline

WIDTH = 88

_HEAD = """\
# A configuration of dpgen for the method {name}.
# `dpgen plan FILE` prices it without opening any data; `dpgen run FILE` runs it.
# Lines such as "#key = value" show defaults: take the # away to change one.
"""
_UNSET = "..."


def starting_toml(name: str, settings: type[BaseModel], live: Mapping[str, Any]) -> str:
    """Every key with its meaning: those of `live` (tables as plain data) with their values, all others commented out.

    Args: `settings` the model of the method `name`.
    """
    lines = [_HEAD.format(name=name)]
    for table, field in Config.model_fields.items():
        model = settings if table == "method" else _model(field)
        assert model is not None, "every field of Config is a table"
        lines += _table(table, model, live.get(table, {}))
    return "\n".join(lines).rstrip() + "\n"


def _table(
    path: str, model: type[BaseModel], live: Mapping[str, Any], default: BaseModel | None = None
) -> Iterator[str]:
    """The lines of one table, and of those below it; a table without live keys is commented out but at the top."""
    top = default is None
    yield from _comment(_first_sentence(model.__doc__, path))
    yield f"[{path}]" if top or live else f"#[{path}]"
    if path == "method":
        yield f"name = {inline(live['name'])}"
    inner = {key: field for key, field in model.model_fields.items() if _model(field)}
    for key, field in model.model_fields.items():
        if key not in inner:
            yield from _key(key, field, live, default)
    yield ""
    for key, field in inner.items():
        below = field.get_default(call_default_factory=True) if default is None else getattr(default, key)
        model_below = _model(field)
        assert model_below is not None
        yield from _table(f"{path}.{key}", model_below, live.get(key, {}), below)


def _key(key: str, field: FieldInfo, live: Mapping[str, Any], default: BaseModel | None) -> Iterator[str]:
    yield from _comment(field.description or "")
    if key in live:
        yield f"{key} = {inline(live[key])}"
        return
    value = field.get_default(call_default_factory=True) if default is None else getattr(default, key)
    unset = field.is_required() or value is None
    yield f"#{key} = {_UNSET if unset else inline(_plain(value))}"


def _comment(text: str) -> Iterator[str]:
    flat = re.sub(r"\bNone\b", "unset", " ".join(text.replace("`", "").split()))  # TOML has no None
    flat = flat[:1].upper() + flat[1:]
    yield from (f"# {line}" for line in textwrap.wrap(flat, WIDTH - 2))


def _first_sentence(text: str | None, path: str) -> str:
    """What a table is for, without the name that the docstring repeats."""
    first = " ".join((text or "").split("\n\n")[0].split())
    return first.removeprefix(f"`[{path}]`: ")


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a table, else None."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _plain(value: Any) -> Any:
    return value.value if hasattr(value, "value") else value
