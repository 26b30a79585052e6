"""Private Evolution as a generator: its plan, its rounds, and that votes lead to the private images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dpgen.accountants.pld import PldAccountant
from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, Charge, Plan
from dpgen.data.datasets import ArrayRecords, PrivateDataset, PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import BudgetExceeded, InvalidValue, PlanMismatch
from dpgen.events import Composed, DiscreteGaussian, Gaussian
from dpgen.generators import PublicInfo, Task
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.noise import SeededNoise
from dpgen_plugins.evolution.pe import Pe
from dpgen_plugins.evolution.voting import votes_event

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("dark", "bright"), nominal_records=400)
PUBLIC_INFO = PublicInfo("greys", INFO.shape, ("any",))
BUDGET = Budget(8.0, 1e-3, ADD_OR_REMOVE_ONE)
SETTINGS = {
    "population": 20,
    "degrees": [0.3, 0.15, 0.05],
    "voting": {"features": "pixel_cosines", "lookahead": 1},
    "api": {"options": {"neighbours": 30, "jitter": 0.0}},
}


def greys(count: int, low: float, high: float, seed: int) -> Tensor:
    levels = low + (high - low) * torch.rand(count, generator=torch.Generator().manual_seed(seed))
    return (255 * levels).to(torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8).clone()


PUBLIC = PublicDataset("greys", greys(120, 0, 1, seed=1), torch.zeros(120, dtype=torch.int64), ("any",))
RECORDS = ArrayRecords(
    torch.cat([greys(200, 0.1, 0.2, seed=2), greys(200, 0.8, 0.9, seed=3)]), torch.arange(400) // 200
)


def pe(**changes: object) -> Pe:
    return Pe(Pe.Config.model_validate(SETTINGS | changes))


def fitted(context: RunContext, ledger: Ledger | None = None, **changes: object) -> Pe:
    generator = pe(**changes)
    plan = generator.plan(Task(INFO, PUBLIC_INFO, 4), BUDGET, RdpAccountant())
    if ledger is None:
        ledger = Ledger(RdpAccountant(), BUDGET)
        ledger.adopt(plan)
    private = PrivateDataset(RECORDS, INFO, ledger=ledger, noise=SeededNoise(0), context=context)
    generator.fit(private, PUBLIC, plan, context)
    return generator


def test_evolution_leads_each_class_to_its_private_images(tmp_path: Path) -> None:
    made = fitted(RunContext(published=tmp_path)).sample(40, seed=0)
    dark, bright = (float(made.images[made.labels == own].mean()) for own in (0, 1))
    assert dark == pytest.approx(0.15, abs=0.07)
    assert bright == pytest.approx(0.85, abs=0.07)
    assert not list(tmp_path.iterdir())  # reference fault P14: no counts lie beside the release


def test_a_plan_has_a_charge_for_each_round_that_together_meet_the_budget() -> None:
    plan = pe().plan(Task(INFO, PUBLIC_INFO, 4), BUDGET, PldAccountant())
    assert [charge.label for charge in plan.charges] == ["votes-1", "votes-2", "votes-3"]
    assert len({charge.event for charge in plan.charges}) == 1
    assert PldAccountant().epsilon(plan.event, delta=BUDGET.delta, relation=ADD_OR_REMOVE_ONE).upper <= BUDGET.epsilon
    assert "10.0 votes for an image on average" in plan.notes[0]


def test_the_noise_of_the_benchmarks_setting() -> None:
    """MNIST, 11 rounds: 13.7 and 1.77 by the exact Gaussian; discrete noise of that size costs as much within 2 %."""
    info = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a",), nominal_records=55000)
    for epsilon, expected in ((1.0, 13.7), (10.0, 1.77)):
        budget = Budget(epsilon, 1.67e-6, ADD_OR_REMOVE_ONE)
        plan = pe(degrees=[0.1] * 11).plan(Task(info, PUBLIC_INFO, 4), budget, PldAccountant())
        event = plan["votes-1"]
        assert isinstance(event, DiscreteGaussian)
        assert event.scale == pytest.approx(expected, rel=0.02)


def test_replacing_a_record_costs_the_root_of_two_more() -> None:
    scales = []
    for relation in (ADD_OR_REMOVE_ONE, REPLACE_ONE):
        plan = pe().plan(Task(INFO, PUBLIC_INFO, 4), Budget(1.0, 1e-5, relation), PldAccountant())
        event = plan["votes-1"]
        assert isinstance(event, DiscreteGaussian)
        scales.append(event.scale)
    assert scales[1] == pytest.approx(2**0.5 * scales[0], rel=0.01)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"degrees": [0.5, 1.2]}, "degrees must lie"),
        ({"population": 3, "voting": {"votes": 4}}, "voting.votes must be at most"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        pe(**changes).plan(Task(INFO, PUBLIC_INFO, 4), BUDGET, RdpAccountant())


@pytest.mark.parametrize("public", [None, PublicInfo("other", Shape(3, 8, 8), ("any",))])
def test_a_public_set_that_is_missing_or_does_not_fit_is_refused(public: PublicInfo | None) -> None:
    with pytest.raises(InvalidValue, match="public"):
        pe().plan(Task(INFO, public, 4), BUDGET, RdpAccountant())


def test_rounds_add_to_what_was_charged_before() -> None:
    """Reference fault P11: the history of the run is ignored."""
    generator = pe()
    plan = generator.plan(Task(INFO, PUBLIC_INFO, 4), BUDGET, RdpAccountant())
    earlier = Charge("earlier", Gaussian(1.0))
    with Ledger(RdpAccountant(), BUDGET) as ledger, pytest.raises(BudgetExceeded):
        ledger.adopt(Plan((earlier, *plan.charges)))


def test_a_round_that_was_not_planned_is_refused() -> None:
    """The twin: evolve for three rounds, plan one."""
    ledger = Ledger(RdpAccountant(), Budget(100.0, 1e-3, ADD_OR_REMOVE_ONE))
    plan = pe().plan(Task(INFO, PUBLIC_INFO, 4), BUDGET, RdpAccountant())
    ledger.adopt(Plan(plan.charges[:1]))
    with pytest.raises(PlanMismatch):
        fitted(RunContext(), ledger)


def test_rounds_are_priced_as_a_composition() -> None:
    event, relation = votes_event(1, 3.0, ADD_OR_REMOVE_ONE), ADD_OR_REMOVE_ONE
    one, three = (
        PldAccountant().epsilon(Composed((event,) * rounds), delta=1e-5, relation=relation).upper for rounds in (1, 3)
    )
    assert three > 1.5 * one


def test_a_sample_has_all_members_before_one_repeats() -> None:
    generator = fitted(RunContext(), api=SETTINGS["api"] | {"options": {"neighbours": 120, "jitter": 1.0}})  # type: ignore[operator]
    made = generator.sample(40, seed=5)
    population = generator.state_dict()["population"]
    assert population.shape == (2, 20, 1, 8, 8)
    for own in (0, 1):
        rows = (made.images[made.labels == own] * 255).round().to(torch.uint8).flatten(1)
        assert sorted(rows.tolist()) == sorted(population[own].flatten(1).tolist())
    assert generator.sample(45, seed=5).images.shape == (45, 1, 8, 8)


def test_lookahead_is_a_mean_of_features() -> None:
    without = fitted(RunContext(), voting={"features": "pixel_cosines", "lookahead": 0}).sample(40, seed=0)
    assert float(without.images[without.labels == 1].mean()) == pytest.approx(0.85, abs=0.1)


def test_equal_names_give_equal_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noted(api, shape, names, *, size, generator):  # type: ignore[no-untyped-def]
        asked.append(names)
        raise KeyboardInterrupt

    monkeypatch.setattr("dpgen_plugins.evolution.pe.first_population", noted)
    for by_name in (True, False):
        with pytest.raises(KeyboardInterrupt):
            fitted(RunContext(), api={"by_name": by_name})
    assert asked == [("dark", "bright"), (None, None)]
