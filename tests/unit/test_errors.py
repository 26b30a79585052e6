from __future__ import annotations

import inspect

import pytest

from dpgen import errors
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.events import Gaussian

ALL = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.DpgenError)]


@pytest.mark.parametrize("error", ALL, ids=lambda c: c.__name__)
def test_every_error_is_drawn_in_the_tree(error: type) -> None:
    assert error.__name__ in (errors.__doc__ or "")


def test_over_budget_says_what_was_asked_and_what_to_do() -> None:
    budget = Budget(10.0, 1e-5, ADD_OR_REMOVE_ONE)
    error = errors.BudgetExceeded(label="finetune", requested=11.42, spent=0.06, budget=budget)
    for part in ("'finetune'", "11.42", "1e-05", "10", "0.06", "Nothing was read", "dpgen plan"):
        assert part in str(error)
    assert (error.label, error.requested, error.spent, error.budget) == ("finetune", 11.42, 0.06, budget)


def test_unknown_name_suggests_the_nearest() -> None:
    error = errors.UnknownName("generator", "privimge", ["privimage", "dpdm"])
    assert "Did you mean 'privimage'" in str(error)
    assert error.known == ("dpdm", "privimage")


def test_version_error_names_both_ways_out() -> None:
    assert "a newer dpgen or an older pear" in str(errors.PluginVersionError("pear", found=2, expected=1))
    assert "a newer pear or an older dpgen" in str(errors.PluginVersionError("pear", found=1, expected=2))


def test_unsupported_names_the_alternatives() -> None:
    error = errors.UnsupportedEvent(Gaussian(1.0), accountant="gdp", reason="why", alternatives=("rdp", "prv"))
    assert "Gaussian(1) (why)" in str(error)
    assert "rdp or prv" in str(error)
