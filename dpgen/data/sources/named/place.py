"""Where named data sets are looked for on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

VARIABLE: Final = "DPGEN_DATA"
"""The environment variable that names the folder of data sets."""


def data_folder() -> Path:
    """The folder that `DPGEN_DATA` names, else `dpgen` in the user's cache folder. It need not exist."""
    named = os.environ.get(VARIABLE, "")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache else Path.home() / ".cache") / "dpgen"
