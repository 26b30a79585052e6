"""The run's budget is that of `[privacy]` alone; the owner's cap bounds all runs together and is another number."""

from __future__ import annotations

import math

import pytest

from dpgen.budget import REPLACE_ONE, Budget
from dpgen.config.tables import PrivacyConfig

CAP = {"ledger": "owner.jsonl", "ledger_epsilon": 9.0, "ledger_delta": 1e-3}


@pytest.mark.parametrize("cap", [{}, CAP], ids=["no cap", "cap"])
def test_the_budget_is_epsilon_delta_and_relation(cap):
    given = PrivacyConfig(epsilon=2.0, delta=1e-6, relation=REPLACE_ONE, **cap)
    assert given.budget(1000) == Budget(2.0, 1e-6, REPLACE_ONE)
    auto = PrivacyConfig(epsilon=2.0, relation=REPLACE_ONE, **cap)
    assert auto.budget(1000) == Budget(2.0, 1 / (1000 * math.log(1000)), REPLACE_ONE)
