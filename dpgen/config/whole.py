"""A configuration together with its method's own settings: their schema, and all that is in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, create_model

from dpgen.config.tables import Config


def schema(name: str, settings: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a configuration whose method is `name` with these `settings`."""
    method = create_model(
        "MethodConfig",
        __base__=settings,
        __doc__=settings.__doc__,
        name=(str, Field(json_schema_extra={"const": name}, description="Selects the generator.")),
    )
    whole = create_model("Configuration", __base__=Config, __doc__=Config.__doc__, method=(method, ...))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | whole.model_json_schema()


def effective(config: Config, settings: BaseModel) -> dict[str, Any]:
    """Every setting in force as plain data, defaults included; what is unset stays out. A configuration has no secrets.

    Args: `settings` of the method, checked. What is returned is a configuration again, and means the same.
    """
    plain = config.model_dump(mode="json", exclude_none=True)
    own = settings.model_dump(mode="json", exclude_none=True)
    return plain | {"method": {"name": config.method.name} | own}


def plain_toml(data: Mapping[str, Any], under: str = "") -> str:
    """Plain data as TOML, one key a line: values first, then tables."""
    lines = [f"{key} = {inline(value)}" for key, value in data.items() if not _is_table(value)]
    if under and (lines or not data):
        lines.insert(0, f"[{under}]")
    parts = ["\n".join(lines)] if lines else []
    dot = f"{under}." if under else ""
    parts += [plain_toml(value, f"{dot}{key}") for key, value in data.items() if _is_table(value)]
    return "\n\n".join(parts)


def inline(value: Any) -> str:
    """A value as TOML on one line."""
    import tomli_w

    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {inline(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    return tomli_w.dumps({"value": value}).removeprefix("value = ").rstrip("\n")


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)
