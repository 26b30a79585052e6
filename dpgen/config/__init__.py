"""A run's configuration: frozen tables, TOML in and out."""

from dpgen.config.presets import preset, presets
from dpgen.config.reading import from_toml, load, overridden, to_toml, validated
from dpgen.config.tables import Config, DataConfig, MethodConfig, PrivacyConfig, RunConfig

__all__ = [
    "Config",
    "DataConfig",
    "MethodConfig",
    "PrivacyConfig",
    "RunConfig",
    "from_toml",
    "load",
    "overridden",
    "preset",
    "presets",
    "to_toml",
    "validated",
]
