"""Facts of methods come from their own plans: charges, relations, references."""

from __future__ import annotations

import pytest

from dpgen.budget import REPLACE_ONE
from dpgen.errors import UnsupportedEvent
from dpgen.events import Composed, DiscreteGaussian, Gaussian, PoissonSampled, SelfComposed
from dpgen.plugins.methods import MethodFacts, method_facts, spoken
from dpgen.plugins.registry import Registry
from dpgen.testing.toy import ToyGenerator, ToyPlugin
from dpgen_plugins import kernel


def test_an_event_is_spoken_without_its_numbers() -> None:
    training = SelfComposed(PoissonSampled(0.1, Gaussian(1.0)), 5)
    assert spoken(training) == "PoissonSampled Gaussian"
    assert spoken(Composed((DiscreteGaussian(3.0, 2), training, training))) == (
        "DiscreteGaussian + PoissonSampled Gaussian"
    )


@pytest.fixture(scope="module")
def kernels() -> list[MethodFacts]:
    registry = Registry()
    registry.register(kernel, name="kernel")
    return list(method_facts(registry))


def test_every_generator_of_a_package_has_its_facts(kernels: list[MethodFacts]) -> None:
    assert [fact.name for fact in kernels] == ["dp_kernel", "dp_merf", "dp_ntk"]
    for fact in kernels:
        assert fact.charges == ("mean-embedding: Gaussian",)
        assert fact.relations == ("add_or_remove_one", "replace_one")
        assert fact.cites
        assert fact.to_json()["name"] == fact.name


def test_a_relation_that_a_method_refuses_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ToyGenerator.plan

    def one_relation(self, task, budget, accountant):  # type: ignore[no-untyped-def]
        if budget.relation == REPLACE_ONE:
            raise UnsupportedEvent(Gaussian(1.0), accountant=accountant.name)
        return plan(self, task, budget, accountant)

    monkeypatch.setattr(ToyGenerator, "plan", one_relation)

    registry = Registry()
    registry.register(ToyPlugin(), name="toy")
    (fact,) = method_facts(registry)
    assert fact.relations == ("add_or_remove_one",)
