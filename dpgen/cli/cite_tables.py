"""What `dpgen cite` prints for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

if TYPE_CHECKING:
    from dpgen.plugins.citations import Citation


def references(found: Sequence[Citation]) -> RenderableType:
    """Each reference as text under what it was used for."""
    parts: list[RenderableType] = []
    for citation in found:
        parts += [Text(", ".join(citation.used_for), style="bold"), Padding(Text(citation.text), (0, 0, 0, 2))]
    return Group(*parts)
