"""The table of published and spent epsilon agrees with the first reading's numbers, and the page holds it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks.published.__main__ import END, MARK, put_into, spent, table
from benchmarks.published.claims import Claim, dp_kernel, dp_merf, dp_ntk, gs_wgan, latent_diffusion, private_evolution
from benchmarks.published.protocol import CIFAR10, MNIST, OPACUS, PLD, dp_sgd, solved
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.events import Gaussian, PoissonSampled, SelfComposed

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "benchmarks/results/published.json").read_text())


def price(claim: Claim) -> float:
    found = spent(claim.add_or_remove, ADD_OR_REMOVE_ONE, claim.data.delta)
    assert found is not None
    return found


def test_noise_is_what_the_logs_of_the_platform_print() -> None:
    """`training_demo` of the platform at commit 83cd4f2: GS-WGAN, DP-NTK, PE and DP-LoRA."""
    steps = solved(MNIST, 10.0, lambda noise: SelfComposed(PoissonSampled(1e-3, Gaussian(noise)), 20_000), OPACUS)
    assert steps == pytest.approx(0.4834747, rel=1e-3)
    assert solved(CIFAR10, 10.0, Gaussian, OPACUS) == pytest.approx(0.5578613, rel=1e-3)  # CIFAR-100: as many
    rounds = solved(CIFAR10, 1.0, lambda noise: SelfComposed(Gaussian(noise), 5), PLD)
    assert rounds == pytest.approx(9.1073519, rel=1e-3)
    assert solved(MNIST, 10.0, lambda noise: dp_sgd(MNIST, noise), PLD) == pytest.approx(1.8994141, rel=1e-3)


def test_views_clipped_one_by_one_cost_more_than_ten_times_the_target() -> None:
    diffusion, adapters = latent_diffusion(1.0)
    assert price(diffusion) == pytest.approx(1.0, rel=1e-3)
    assert price(adapters) == pytest.approx(11.5, rel=0.02)  # first reading: PRV's noise, priced by a PLD


def test_rows_of_one_critic_are_priced_jointly() -> None:
    drawn, last = gs_wgan(1.0)
    assert price(drawn) == pytest.approx(400, rel=0.02)
    assert price(last) > 100 * price(drawn)


def test_half_of_the_noise_of_dp_ntk() -> None:
    assert [round(price(claim), 2) for target in (1.0, 10.0) for claim in dp_ntk(target)] == [
        1.97,
        pytest.approx(22.3, abs=0.05),
    ]


def test_one_release_is_tight_for_the_relation_it_was_made_for() -> None:
    (evolution,) = private_evolution(1.0)
    assert price(evolution) == pytest.approx(1.0, rel=1e-4)
    (merf,) = dp_merf(1.0)
    assert spent(merf.replace, REPLACE_ONE, merf.data.delta) <= 1.0  # type: ignore[operator]


def test_what_no_event_bounds_gets_no_number() -> None:
    (kernel,) = dp_kernel(1.0)
    assert spent(kernel.add_or_remove, ADD_OR_REMOVE_ONE, kernel.data.delta) is None


def test_the_page_and_the_record_hold_the_same_table(tmp_path: Path) -> None:
    page = (ROOT / "docs/explanation/published-guarantees.md").read_text()
    assert page.split(MARK)[1].split(END)[0].strip() == table(RECORD)
    assert all(line["published"] in (1.0, 10.0) and not math.isnan(line["delta"]) for line in RECORD)
    copy = tmp_path / "page.md"
    copy.write_text(f"before\n{MARK}\nold\n{END}\nafter\n")
    put_into(copy, "| new |")
    assert copy.read_text() == f"before\n{MARK}\n\n| new |\n\n{END}\nafter\n"
