"""Means so far apart that a chosen record is always told: pld still encloses delta, and does not fail."""

from __future__ import annotations

import pytest

from dpgen.accountants import PldAccountant
from dpgen.budget import REPLACE_ONE
from dpgen.events import AggregatePosterior


@pytest.mark.parametrize("separation", [40.0, 60.0, 100.0])
def test_the_enclosure_holds_the_chance_to_be_chosen(separation: float) -> None:
    found = PldAccountant().delta(AggregatePosterior(60_000, 100, separation), epsilon=1.0, relation=REPLACE_ONE)
    assert found.lower <= 1 - (1 - 1 / 60_000) ** 100 <= found.upper
