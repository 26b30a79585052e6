"""lipschitz_vae: the certified autoencoder, the laws behind noisy codes, and the plan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dpgen.accountants import PldAccountant, RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, Charge, Plan
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import InvalidValue, PlanMismatch
from dpgen.events import AggregatePosterior, Gaussian, OnShards
from dpgen.generators import PublicInfo, Task
from dpgen.mechanisms.lipschitz import certify
from dpgen.noise import PublicRows
from dpgen_plugins.vae.certified import BlurredReconstruction, CodeInputs, fresh_certified_vae
from dpgen_plugins.vae.deconvolved import LawsAndDecoder, deconvolved_laws
from dpgen_plugins.vae.lipschitz_vae import LABEL, LipschitzVae, _deviation
from dpgen_plugins.vae.settings import CertifiedVaeSettings

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b"), nominal_records=400)
TASK = Task(INFO, PublicInfo("shapes", INFO.shape, ("x",)), 10)
SETTINGS = CertifiedVaeSettings(latent=3, width=4)
BUDGET = Budget(4.0, 1e-4, ADD_OR_REMOVE_ONE)


def generator(**posterior) -> LipschitzVae:
    return LipschitzVae(LipschitzVae.Config.model_validate({"vae": {"latent": 3, "width": 4}, "posterior": posterior}))


@pytest.mark.parametrize("certified", [False, True])
def test_codes_stay_in_their_ball(certified) -> None:
    vae = fresh_certified_vae(SETTINGS.model_copy(update={"certified": certified}), INFO, seed=0)
    codes = vae.encoder(torch.rand(9, 1, 8, 8, generator=torch.Generator().manual_seed(0))).detach()
    assert codes.shape == (9, 3)
    assert float(codes.norm(dim=1).max()) <= 1 + 1e-6


def test_the_constant_of_a_certified_encoder_is_that_of_its_last_layer() -> None:
    vae = fresh_certified_vae(SETTINGS.model_copy(update={"certified": True}), INFO, seed=0)
    last = vae.encoder[-2]
    assert isinstance(last, nn.Linear)
    assert certify(vae.encoder, (1, 8, 8)).bound <= float(torch.linalg.matrix_norm(last.weight.detach(), 2)) * 1.001
    made = LipschitzVae(LipschitzVae.Config.model_validate({"vae": {"latent": 3, "width": 4, "certified": True}}))
    graded = made._sampling(vae, INFO, 1.0, source="shapes").metric_guarantee()
    assert graded.slope == certify(vae.encoder, (1, 8, 8)).bound


@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic"])
def test_each_row_has_a_loss_of_its_own(likelihood) -> None:
    settings = SETTINGS.model_copy(update={"likelihood": likelihood})
    vae, random = fresh_certified_vae(settings, INFO, seed=0), PublicRows(3, torch.Generator(), torch.device("cpu"))
    rows = CodeInputs(3)(torch.rand(3, 1, 8, 8), torch.zeros(3, dtype=torch.int64), views=1, random=random)
    loss = BlurredReconstruction(settings)
    together, alone = loss(vae, *rows), torch.cat([loss(vae, *(part[n : n + 1] for part in rows)) for n in range(3)])
    assert together.shape == (3,)
    assert torch.allclose(together, alone, rtol=1e-4)


def test_sides_that_do_not_divide() -> None:
    with pytest.raises(InvalidValue, match="divide by 4"):
        fresh_certified_vae(SETTINGS, DatasetInfo(Shape(1, 10, 8), ("a",), 9), seed=0)


def test_laws_are_found_behind_the_noise() -> None:
    """Two classes of other means and covariances under noise far larger than either."""
    generator, draws, deviation = torch.Generator().manual_seed(3), 200_000, 1.0
    means = torch.tensor([[0.5, 0.0, 0.0], [-0.2, 0.4, 0.0]], dtype=torch.float64)
    factors = torch.stack([torch.diag(torch.tensor([0.3, 0.05, 0.0])), torch.diag(torch.tensor([0.05, 0.3, 0.2]))])
    factors = factors.double()
    codes = means[:, None] + torch.randn(2, draws, 3, generator=generator, dtype=torch.float64) @ factors
    noisy = codes + deviation * torch.randn(codes.shape, generator=generator, dtype=torch.float64)
    mean, factor = deconvolved_laws(noisy, deviation)
    assert torch.allclose(mean, means, atol=0.02)
    assert torch.allclose(factor @ factor.mT, factors @ factors.mT, atol=0.02)


def test_few_draws_share_one_covariance_and_none_is_negative() -> None:
    noisy = torch.randn(4, 12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _, factor = deconvolved_laws(noisy, 1.0)
    assert bool(torch.isfinite(factor).all())
    assert float((factor @ factor.mT).abs().max()) < 1.0  # pure noise is no law


def test_images_follow_their_class_and_stay_within_range() -> None:
    vae = fresh_certified_vae(SETTINGS, INFO, seed=0)
    network = LawsAndDecoder(vae.decoder, classes=2, latent=3, radius=1.0, temperature=1.0)
    network.mean[0], network.mean[1] = 0.9, -0.9
    first, second = (network(torch.zeros(1, 3), torch.tensor([label])).detach() for label in (0, 1))
    assert not torch.equal(first, second)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


@pytest.mark.parametrize(
    ("relation", "promised", "kind", "releases"),
    [
        (ADD_OR_REMOVE_ONE, False, OnShards, 1),
        (ADD_OR_REMOVE_ONE, True, AggregatePosterior, 1),
        (REPLACE_ONE, False, AggregatePosterior, 2),
    ],
)
def test_the_plan_is_one_charge_within_the_budget(relation, promised, kind, releases) -> None:
    budget = Budget(4.0, 1e-4, relation)
    plan = generator(draws=300, promised=promised).plan(TASK, budget, RdpAccountant())
    (charge,) = plan.charges
    assert charge.label == LABEL
    assert isinstance(charge.event, kind)
    inner = charge.event.event if isinstance(charge.event, OnShards) else charge.event
    assert (inner.records, inner.draws) == (200, 300 * releases)
    price = RdpAccountant().epsilon(plan.event, delta=1e-4, relation=relation).upper
    assert 3.9 < price <= 4.0
    assert "separation" in plan.notes[0]


def test_the_default_is_ten_draws_for_each_declared_place() -> None:
    event = generator().plan(TASK, BUDGET, RdpAccountant()).charges[0].event
    assert (event.event.records, event.event.draws) == (200, 2000)


@pytest.mark.parametrize("noise", np.geomspace(0.05, 50, 12))
def test_the_deviation_is_read_off_the_event_exactly(noise) -> None:
    made = generator(draws=3)
    vae = fresh_certified_vae(made.config.vae, INFO, seed=0)
    deviation = round(2 * float(noise) * 2**20) / 2**20
    event = made._sampling(vae, INFO, deviation, source="").event(ADD_OR_REMOVE_ONE)
    assert _deviation(event) == deviation
    assert made._sampling(vae, INFO, _deviation(event), source="").event(ADD_OR_REMOVE_ONE) == event


def test_another_event_is_no_plan_of_its_own() -> None:
    with pytest.raises(PlanMismatch):
        _deviation(Plan((Charge(LABEL, Gaussian(1.0)),))[LABEL])


def test_public_images_are_needed() -> None:
    with pytest.raises(InvalidValue, match="public"):
        generator().plan(Task(INFO, None, 10), BUDGET, PldAccountant())
