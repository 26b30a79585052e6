from __future__ import annotations

import math

import torch

from dpgen.generators.training.public_step import linear_decay
from dpgen.noise import PublicRows
from dpgen_plugins.diffusion.edm import denoise, log_normal_level, row_losses, training_inputs
from dpgen_plugins.diffusion.settings import NoiseLevelSettings

SETTINGS = NoiseLevelSettings(mean=-0.6, deviation=1.2)


class Silent(torch.nn.Module):
    """A network that predicts 0: what is left is the preconditioning."""

    def forward(self, x: torch.Tensor, noise_condition: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


def rows(views: int, n: int = 6) -> tuple[torch.Tensor, ...]:
    random = PublicRows(n * views, torch.Generator().manual_seed(0), torch.device("cpu"))
    return training_inputs(SETTINGS)(torch.rand(n, 1, 4, 4), torch.arange(n), views=views, random=random)


def test_zero_network_gives_the_linear_denoiser() -> None:
    noisy, level = torch.randn(3, 1, 4, 4), torch.tensor([0.01, 0.5, 80.0])
    out = denoise(Silent(), noisy, level, torch.zeros(3, dtype=torch.int64))
    expected = noisy * (0.25 / (0.25 + level**2))[:, None, None, None]
    torch.testing.assert_close(out, expected)


def test_weight_makes_the_loss_of_the_linear_denoiser_flat_in_the_noise_level() -> None:
    generator, n = torch.Generator().manual_seed(0), 20000
    for sigma in (0.05, 0.5, 5.0):
        clean = 0.5 * torch.randn(n, 1, 1, 1, generator=generator)
        noisy = clean + sigma * torch.randn(n, 1, 1, 1, generator=generator)
        loss = row_losses(Silent(), clean, noisy, torch.full((n,), sigma), torch.zeros(n, dtype=torch.int64))
        assert math.isclose(float(loss.mean()), 1.0, rel_tol=0.05)  # EDM: effective weight 1 at initialisation


def test_views_of_an_example_lie_together_and_are_stratified() -> None:
    clean, noisy, level, labels = rows(views=4)
    assert labels.tolist() == [i for i in range(6) for _ in range(4)]
    assert clean.min() >= -1
    assert torch.equal(clean[0], clean[3])
    assert not torch.equal(noisy[0], noisy[1])
    quantile = torch.special.ndtr((level.log() - SETTINGS.mean) / SETTINGS.deviation)
    assert torch.equal((quantile * 4).floor().long().reshape(6, 4), torch.arange(4).expand(6, 4))


def test_levels_stay_finite_at_the_ends() -> None:
    assert torch.isfinite(log_normal_level(torch.tensor([0.0, 1.0]), SETTINGS)).all()


def test_linear_decay_runs_from_one_to_final() -> None:
    assert linear_decay(0, 10, 0.1) == 1
    assert math.isclose(linear_decay(9, 10, 0.1), 0.1)
    assert linear_decay(0, 1, 0.1) == 1
