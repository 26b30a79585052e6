"""TOML in and out, overrides from the command line, and errors that name every wrong key at once."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ValidationError

from dpgen.config.tables import Config
from dpgen.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration in the TOML file `path`, after `overrides` such as `privacy.epsilon=1.0`.

    Raises: `ConfigError` that lists every unknown key and wrong value with its key path.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"expected a TOML configuration file; {path} cannot be read ({type(error).__name__}). "
            "Give a path, or a preset such as --preset demo; `dpgen config presets` lists them."
        ) from error
    return from_toml(text, overrides, name=str(path))


def from_toml(text: str, overrides: Sequence[str] = (), *, name: str = "the configuration") -> Config:
    """The configuration in a TOML text. Raises: `ConfigError` as `load`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is no valid TOML: {error}. Correct that line.") from error
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, tables nested a thousand deep
        raise ConfigError(
            f"{name} holds a value that TOML cannot take ({type(error).__name__}). Use plain numbers and few levels."
        ) from None
    return validated(Config, overridden(data, overrides), name=name)


def to_toml(config: Config) -> str:
    """The configuration as TOML; `from_toml` reads it back unchanged. Raises: `ConfigError` for a NaN in a setting."""
    try:
        return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
    except TypeError:  # pydantic makes null of a NaN in a method's own settings, and TOML knows no null
        raise ConfigError("expected finite numbers in [method] and data.public_options; found others.") from None


def validated(schema: type[Model], data: Mapping[str, Any], *, name: str, under: tuple[str, ...] = ()) -> Model:
    """`data` as a `schema`, or one `ConfigError` with all that is wrong; `under` is the key path of the table.

    A table that is given in part keeps the rest of its default, also where a method's default is not its table's own.
    """
    try:
        return schema.model_validate(_completed(schema, data))
    except ValidationError as error:
        lines = {_explain(schema, under, item) for item in error.errors(include_url=False)}
        raise ConfigError("\n  ".join([f"{name} has {len(lines)} error(s):", *sorted(lines)])) from None


def overridden(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`data`, changed in place by overrides such as `privacy.epsilon=1.0`. Raises: `ConfigError` for another form."""
    for override in overrides:
        _apply(data, override)
    return data


def _completed(schema: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """`data`, with each table that it gives in part laid over the default of that table."""
    whole = dict(data)
    for key, field in schema.model_fields.items():
        default = None if key not in data else field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel) and isinstance(data[key], Mapping):
            whole[key] = default.model_dump() | _completed(type(default), data[key])
    return whole


def _apply(data: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or len(keys) < 2 or not all(keys):
        raise ConfigError(f"an override is table.key=value, for instance privacy.epsilon=1.0; found {override!r}.")
    table = data
    for depth, key in enumerate(keys[:-1], start=1):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigError(f"override {override!r}: {'.'.join(keys[:depth])} is a value, not a table.")
    table[keys[-1]] = _value(text.strip())


def _value(text: str) -> Any:
    """A TOML value, or the text itself: `name=mnist` needs no quotes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # the former also what TOML raises
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _explain(schema: type[BaseModel], under: tuple[str, ...], error: Mapping[str, Any]) -> str:
    path = tuple(map(str, error["loc"]))
    table = _table(schema, path[:-1])
    where = ".".join(under + path)
    if error["type"] == "extra_forbidden":
        known = sorted(table.model_fields) if table else []
        return f"{where}: unknown key; known: {', '.join(known) or 'none'}.{_nearest(path[-1], known)}"
    if error["type"] == "missing":
        parent = ".".join(under + path[:-1])
        mend = f"Add `{path[-1]} = ...` under [{parent}]." if parent else f"Add a table [{path[-1]}]."
        return f"{where}: expected a value; found none. {mend}"
    if error["type"] == "value_error":
        return f"{where}: {error['ctx']['error']}; found {error['input']!r}."
    return f"{where}: {error['msg'][:1].lower()}{error['msg'][1:]}; found {error['input']!r}."


def _table(schema: type[BaseModel], path: tuple[str, ...]) -> type[BaseModel] | None:
    """The model behind a key path, or None where the path leaves the models (a list, a free-form table)."""
    for key in path:
        annotation = schema.model_fields[key].annotation if key in schema.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return None
        schema = annotation
    return schema


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
