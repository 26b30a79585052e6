"""How many rows go through the network at once, and what is tried next when they are too many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final


@final
@dataclass(frozen=True, slots=True)
class PassSize:
    """`examples` whole examples in a pass; or one example, `views_per_pass` of its `views` at a time."""

    examples: int
    views: int
    views_per_pass: int

    @staticmethod
    def of_rows(rows: int, views: int) -> PassSize:
        """The most examples that have at most `rows` rows; at fewer rows than views, that many views of one."""
        return PassSize(max(1, rows // views), views, min(rows, views))

    @property
    def rows(self) -> int:
        """Rows in memory at once."""
        return self.examples * self.views_per_pass

    def smaller(self) -> PassSize | None:
        """Half as many examples; of one example half as many views; None after one row."""
        if self.examples > 1:
            return replace(self, examples=self.examples // 2)
        return replace(self, views_per_pass=self.views_per_pass // 2) if self.views_per_pass > 1 else None

    def __str__(self) -> str:
        if self.views_per_pass < self.views:
            return f"{self.views_per_pass} of {self.views} views of one example"
        return f"{self.examples} examples with {self.views} views each"
