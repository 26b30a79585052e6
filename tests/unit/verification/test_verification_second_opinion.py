"""The second accountant: chosen to be independent, it refutes claims that the first one bears out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from dpgen.accountants import Accountant, Bound, GdpAccountant, PldAccountant, PrvAccountant, RdpAccountant
from dpgen.accountants import gdp as gdp_module
from dpgen.budget import ADD_OR_REMOVE_ONE, BoundKind, Budget, Charge, NeighboringRelation, Plan
from dpgen.errors import ConfigError
from dpgen.events import DpEvent, Gaussian, PoissonSampled, SelfComposed, Unsupported
from dpgen.plugins.hookspecs import hookimpl
from dpgen.plugins.registry import Registry
from dpgen.testing.toy_release import write_release
from dpgen.verification import Verification, verify
from dpgen.verification.repricing import second_name

BUDGET = Budget(8.0, 1e-6, ADD_OR_REMOVE_ONE)
PLAIN = Plan((Charge("query", Gaussian(20.0)), Charge("finetune", SelfComposed(Gaussian(30.0), 100))))
SAMPLED = Plan((Charge("finetune", SelfComposed(PoissonSampled(0.01, Gaussian(1.0)), 100)),))


class Optimist(Accountant):
    """A broken twin: a price, made lower by `shrink`, and then reported as proved."""

    name: ClassVar[str] = "optimist"
    kind: ClassVar[BoundKind] = "bound"
    shrink: ClassVar[Callable[[Bound], float]]

    @property
    def adaptive(self) -> bool:
        return False

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        return True

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        found = type(self).shrink(PrvAccountant().epsilon(event, delta=delta, relation=relation))
        return Bound(0.0, found, found, self.kind)

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        raise NotImplementedError


def optimist(shrink: Callable[[Bound], float]) -> type[Optimist]:
    return type("ThisOptimist", (Optimist,), {"shrink": staticmethod(shrink)})


def registry_with(*accountants: type[Accountant]) -> Registry:
    class Plugin:
        @hookimpl
        def dpgen_register_accountants(self) -> list[type[Accountant]]:
            return list(accountants)

    registry = Registry.installed(only=["builtin"])
    registry.register(Plugin(), name="extra")
    return registry


def verified(folder: Path, kind: type[Accountant], plan: Plan, accountant: str | None = None) -> Verification:
    """What comes of a run whose own accountant was `kind`: everything in its record fits together."""
    extra = [] if kind.__module__.startswith("dpgen.") else [kind]
    return verify(write_release(folder, kind(), plan, BUDGET), accountant=accountant, registry=registry_with(*extra))


@pytest.mark.parametrize(
    ("kind", "plan"),
    [
        *((kind, PLAIN) for kind in (PldAccountant, RdpAccountant, PrvAccountant, GdpAccountant)),
        *((kind, SAMPLED) for kind in (PldAccountant, RdpAccountant, PrvAccountant)),
    ],
)
def test_honest_accountants_bear_each_other_out(tmp_path: Path, kind: type[Accountant], plan: Plan) -> None:
    found = verified(tmp_path, kind, plan)
    assert found.passed, [check.why for check in found.failures]
    assert found.checks[-1].accountant == ("prv" if kind is PldAccountant and plan is SAMPLED else "pld")


@pytest.mark.parametrize(
    ("kind", "second", "refuted"),
    [
        (GdpAccountant, "pld", ["second price"]),
        (PrvAccountant, "pld", ["second price"]),
        (PldAccountant, "pld", ["second price"]),
        (RdpAccountant, "pld", []),  # its own claim does not come from the closed form
    ],
)
def test_of_plain_gaussians_the_second_owes_nothing_to_the_closed_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Accountant], second: str, refuted: list[str]
) -> None:
    """Broken twin: the closed form takes neighbours for half as far apart. Its claims agree with themselves."""
    honest, closed_form = verified(tmp_path / "honest", kind, PLAIN), gdp_module._delta
    monkeypatch.setattr(gdp_module, "_delta", lambda mu, epsilon: closed_form(mu / 2, epsilon))
    found = verified(tmp_path / "broken", kind, PLAIN)
    assert found.checks[-1].accountant == second
    assert found.checks[-1].bound == honest.checks[-1].bound
    assert [check.name for check in found.failures] == refuted


LIARS = {
    "returns the lower end": lambda bound: bound.lower - 1e-3,
    "halves the price": lambda bound: bound.upper / 2,
    "charges nothing": lambda bound: 0.0,
}


@pytest.mark.parametrize("plan", [PLAIN, SAMPLED], ids=["plain", "sampled"])
@pytest.mark.parametrize("lie", LIARS)
@pytest.mark.parametrize("second", [None, "prv"])
def test_a_price_that_is_too_low_is_refuted_by_the_second_alone(
    tmp_path: Path, lie: str, plan: Plan, second: str | None
) -> None:
    """Such a record agrees with itself, and its own accountant bears it out."""
    found = verified(tmp_path, optimist(LIARS[lie]), plan, accountant=second)
    assert found.checks[-1].accountant == (second or "pld")
    assert [check.name for check in found.failures] == ["second price"]
    assert "The claim is too low: do not rely on it" in found.failures[0].why


def test_a_claim_that_the_second_neither_refutes_nor_proves_passes(tmp_path: Path) -> None:
    found = verified(tmp_path, PrvAccountant, SAMPLED, accountant="rdp")
    assert found.passed
    assert "neither refutes nor proves the claim" in found.checks[-1].why
    proved = verified(tmp_path / "other", RdpAccountant, SAMPLED, accountant="prv")
    assert "and proves the claim too" in proved.checks[-1].why


@pytest.mark.parametrize("wanted", ["gdp", "prv"])
def test_the_closed_form_is_no_second_opinion_on_itself(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(ConfigError, match="the same closed form as pld"):
        verified(tmp_path, PldAccountant, PLAIN, accountant=wanted)


def test_an_integral_proves_what_the_closed_form_said_to_a_millionth(tmp_path: Path) -> None:
    found = verified(tmp_path, PldAccountant, PLAIN)
    assert "pld without its closed form finds" in found.checks[-1].why
    assert "and proves the claim to" in found.checks[-1].why


def test_a_claim_may_be_more_modest_than_its_accountant(tmp_path: Path) -> None:
    path = write_release(tmp_path, PldAccountant(), SAMPLED, BUDGET)
    path.write_text(path.read_text().replace('"kind": "certified"', '"kind": "bound"'))
    assert verify(path, registry=registry_with()).record.guarantee.kind == "bound"
    assert verify(path, registry=registry_with()).passed


def test_a_plan_that_nobody_else_prices_fails(tmp_path: Path) -> None:
    class Alone(Optimist):
        def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
            return Bound(0.0, 1.0, 1.0, self.kind)

    found = verified(tmp_path, Alone, Plan((Charge("scan", Unsupported("a new mechanism")),)))
    assert [check.name for check in found.failures] == ["second price"]
    assert "found none. Install a plugin that brings one" in found.failures[0].why


def test_an_accountant_that_is_not_installed_is_told(tmp_path: Path) -> None:
    write_release(tmp_path, optimist(lambda bound: bound.upper)(), SAMPLED, BUDGET)
    found = verify(tmp_path, registry=registry_with())
    assert [check.name for check in found.failures] == ["price"]
    assert "unknown accountant 'optimist'" in found.failures[0].why


@pytest.mark.parametrize("kind", [PldAccountant, RdpAccountant, PrvAccountant], ids=lambda kind: kind.name)
def test_the_second_is_never_the_first_nor_an_approximation(tmp_path: Path, kind: type[Accountant]) -> None:
    registry = registry_with()
    record = verify(write_release(tmp_path, kind(), SAMPLED, BUDGET), registry=registry).record
    chosen = second_name(record, registry, wanted=None)
    assert chosen not in (None, kind.name)
    for name in registry.accountants():
        if name == kind.name or registry.accountant(name).kind == "approximation":
            with pytest.raises(ConfigError, match="whose bounds are proved"):
                second_name(record, registry, wanted=name)
        else:
            assert second_name(record, registry, wanted=name) == name
