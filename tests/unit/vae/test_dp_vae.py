"""DP-VAE's parts: likelihoods, the divergence, the noisy law of the codes, and its plan."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dpgen.accountants import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import InvalidValue
from dpgen.events import Gaussian, SelfComposed
from dpgen.generators import Task
from dpgen.mechanisms.dp_sgd import clipped_gradient_sum
from dpgen.noise import PublicRows
from dpgen_plugins.vae.dp_vae import DpVae
from dpgen_plugins.vae.latent_prior import PriorAndDecoder, normal_laws
from dpgen_plugins.vae.networks import fresh_vae
from dpgen_plugins.vae.settings import VaeSettings
from dpgen_plugins.vae.training import ElboInputs, ElboLoss, _logistic

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b"), nominal_records=400)
SETTINGS = VaeSettings(latent=3, width=4, halvings=1, beta=0.7)


def rows(count: int = 6, views: int = 1) -> tuple[Tensor, ...]:
    random = PublicRows(count * views, torch.Generator().manual_seed(0), torch.device("cpu"))
    images = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return ElboInputs(3)(images, torch.arange(count) % 2, views=views, random=random)


def test_the_divergence_is_that_of_two_normal_laws() -> None:
    vae, (images, labels, noise) = fresh_vae(SETTINGS, INFO, seed=0), rows()
    with torch.no_grad():
        mean, log_variance = vae.encoder(images, labels)
        free, weighted = (ElboLoss(SETTINGS.model_copy(update={"beta": b}))(vae, images, labels, noise) for b in (1, 3))
    own = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(own, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close((weighted - free) / 2 * 64, expected, rtol=1e-3, atol=1e-3)


def test_free_bits_cost_nothing_to_learn() -> None:
    vae, drawn = fresh_vae(SETTINGS, INFO, seed=0), rows()
    generous = SETTINGS.model_copy(update={"free_bits": 50.0})
    with torch.no_grad():
        losses = [ElboLoss(one.model_copy(update={"beta": b}))(vae, *drawn) for one in (generous,) for b in (0.5, 1.5)]
    torch.testing.assert_close(losses[1] - losses[0], torch.full((6,), 3 * 50.0 / 64))


def test_the_logistic_masses_of_all_grey_values_sum_to_one() -> None:
    greys = torch.arange(256).view(256, 1, 1, 1) / 255
    for raw, log_scale in ((0.3, -3.0), (-4.0, -1.0), (6.0, -2.0)):
        parameters = torch.tensor([raw, log_scale]).view(1, 2, 1, 1).expand(256, 2, 1, 1)
        assert (-_logistic(parameters, greys)).exp().sum().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic"])
def test_every_image_is_computed_alone_and_clipped_once(likelihood: str) -> None:
    settings = VaeSettings(latent=3, width=4, halvings=1, likelihood=likelihood)  # type: ignore[arg-type]
    vae, drawn = fresh_vae(settings, INFO, seed=0), rows(4, views=2)
    loss = ElboLoss(settings)
    whole = clipped_gradient_sum(vae, loss, drawn, views=2, clip_norm=1e-3)
    alone = [
        clipped_gradient_sum(vae, loss, tuple(t[2 * n : 2 * n + 2] for t in drawn), views=2, clip_norm=1e-3).sum
        for n in range(4)
    ]
    for name, total in whole.sum.items():
        torch.testing.assert_close(total, sum(part[name] for part in alone), atol=1e-6, rtol=1e-3)
    lengths = [math.sqrt(sum(float(t.double().square().sum()) for t in part.values())) for part in alone]
    assert max(lengths) <= 1e-3 * (1 + 1e-5)


def moments(means: Tensor, factor: Tensor, counts: Tensor, radius: float) -> Tensor:
    """The sums without noise for classes with these laws."""
    second = factor @ factor.mT + means[:, :, None] * means[:, None]
    parts = (torch.ones(len(means), 1), means / radius, second.flatten(1) / radius**2)
    return counts[:, None] * torch.cat(parts, 1).double()


def test_noiseless_moments_give_back_the_laws() -> None:
    random = torch.Generator().manual_seed(0)
    means, factor = (torch.randn(2, *shape, generator=random, dtype=torch.float64) for shape in ((3,), (3, 3)))
    sums = moments(means, factor, torch.tensor([90.0, 310.0]), radius=2.0)
    found, root = normal_laws(sums, 0.0, radius=2.0, expected=200)
    torch.testing.assert_close(found, means)
    torch.testing.assert_close(root @ root.mT, factor @ factor.mT)


def test_pure_noise_still_gives_laws_to_draw_from() -> None:
    random = torch.Generator().manual_seed(0)
    noise = 300.0
    sums = noise * torch.randn(5, 1 + 3 + 9, generator=random, dtype=torch.float64)
    mean, root = normal_laws(sums, noise, radius=2.0, expected=200)
    covariance = root @ root.mT
    assert bool(torch.isfinite(mean).all())
    assert bool((torch.linalg.eigvalsh(covariance) >= 0.99e-3).all())


def test_covariances_that_differ_by_less_than_their_noise_become_one() -> None:
    means, factor = torch.zeros(2, 3).double(), torch.stack((torch.eye(3), 1.05 * torch.eye(3))).double()
    sums = moments(means, factor, torch.tensor([200.0, 200.0]), radius=2.0)
    apart, together = (normal_laws(sums, noise, radius=2.0, expected=200)[1] for noise in (0.01, 20.0))
    torch.testing.assert_close(together[0] @ together[0].mT, together[1] @ together[1].mT)
    assert float((apart[1] @ apart[1].mT - apart[0] @ apart[0].mT).diagonal().min()) > 0.09


def test_codes_follow_the_law_of_the_class() -> None:
    vae = fresh_vae(SETTINGS, INFO, seed=0)
    network = PriorAndDecoder(vae.decoder, latent=3, temperature=0.5)
    network.mean.copy_(torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]))
    network.factor.copy_(2 * torch.eye(3).repeat(2, 1, 1))
    noise, labels = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1])
    expected = vae.decoder.images(network.mean[labels] + noise, labels)  # 0.5 * 2
    torch.testing.assert_close(network(noise, labels), expected)


def plan(prior: str):  # type: ignore[no-untyped-def]
    generator = DpVae(DpVae.Config.model_validate({"vae": {"halvings": 1}, "prior": {"kind": prior}}))
    return generator.plan(Task(INFO, None, 4), Budget(4.0, 1e-4, ADD_OR_REMOVE_ONE), RdpAccountant())


def test_the_plan_charges_training_and_then_the_codes() -> None:
    whole, alone = plan("class_normal"), plan("normal")
    assert [charge.label for charge in whole.charges] == ["finetune", "latent-moments"]
    assert [charge.label for charge in alone.charges] == ["finetune"]
    assert isinstance(whole["latent-moments"], Gaussian)
    assert isinstance(whole["finetune"], SelfComposed)
    accountant = RdpAccountant()
    for one in (whole, alone):
        assert 3.9 < accountant.epsilon(one.event, delta=1e-4, relation=ADD_OR_REMOVE_ONE).upper <= 4.0
    share = accountant.epsilon(whole["latent-moments"], delta=1e-4, relation=ADD_OR_REMOVE_ONE).upper
    assert share == pytest.approx(0.4, rel=1e-2)
    assert "the moments of the codes raise" in whole.notes[-1]


def test_sides_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(InvalidValue, match="divide by 4"):
        fresh_vae(VaeSettings(), replace(INFO, shape=Shape(1, 10, 8)), seed=0)
