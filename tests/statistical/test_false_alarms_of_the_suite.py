"""All statistical tests together: at most one false alarm in a million runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from dpgen.testing.statistics import FalseAlarmBudget, require_within

HERE = Path(__file__)


def budget_of(path: Path) -> FalseAlarmBudget:
    spec = importlib.util.spec_from_file_location(f"budget_of_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FALSE_ALARMS  # every statistical test file declares what it spends


def test_the_levels_add_up_to_the_budget_of_the_suite() -> None:
    files = sorted(path for path in HERE.parent.glob("test_*.py") if path != HERE)
    assert len(files) >= 4
    assert 0 < require_within(map(budget_of, files)) <= 1e-6
