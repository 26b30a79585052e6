"""Plant recognisable private images, run anything on them, and search what it wrote for them."""

from __future__ import annotations

from dpgen.testing.canaries.planted import COUNT, Canaries, plant
from dpgen.testing.canaries.search import Sighting, search_bytes, search_run

__all__ = ["COUNT", "Canaries", "Sighting", "plant", "search_bytes", "search_run"]
