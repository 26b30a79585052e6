"""The two sides of a GAN: the pairs that the discriminator learns from, and the step of the generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from dpgen.noise import RowRandom
from dpgen_plugins.gan.networks import Adversaries, inputs_of
from dpgen_plugins.gan.settings import GeneratorSteps

PublicDraws: TypeAlias = Callable[[str], torch.Generator]
"""A fresh public generator, on the CPU, for what it is named for: equal names, equal draws."""


def pair_inputs(images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> tuple[Tensor, ...]:
    """Rows of one image, its label, and a number in [0, 1) that chooses the generated image it is compared with.

    See `dpgen.mechanisms.dp_sgd.Inputs`.
    """
    return images.repeat_interleave(views, 0), labels.repeat_interleave(views), random.uniform()


def pair_losses(module: nn.Module, images: Tensor, labels: Tensor, choice: Tensor) -> Tensor:
    """Hinge loss of each pair, max(0, 1 - D(x)) + max(0, 1 + D(G(z))), `[rows]`; both of the same class.

    Both terms belong to the record whose row it is, so the one clip of its gradient bounds both. They are not clipped
    apart, because they point against each other: what real and generated images have in common drops out before the
    clip instead of using it up. Source: Lim, Ye 2017 (arXiv 1705.02894), equation 6.
    """
    assert isinstance(module, Adversaries)
    generated = module.shown[labels, (choice * module.shown.shape[1]).long()]
    real, fake = module.discriminator(images, labels), module.discriminator(generated, labels)
    return F.relu(1 - real) + F.relu(1 + fake)


def generator_turn(module: nn.Module, step: int, *, settings: GeneratorSteps, draws: PublicDraws) -> None:
    """After a step of the discriminator: every `settings.every` steps one of the generator; new images each time.

    Privacy: post-processing; it reads weights and public draws alone. Labels are dealt evenly.
    """
    assert isinstance(module, Adversaries)
    if (step + 1) % settings.every == 0:
        _generator_step(module, settings, draws(f"generator {step}"))
    module.show(draws(f"shown {step}"))


def _generator_step(module: Adversaries, settings: GeneratorSteps, draws: torch.Generator) -> None:
    """Move the generator to where the discriminator finds its images more real: down the gradient of -D(G(z))."""
    generator = module.generator
    noise, labels = inputs_of(generator, settings.batch, draws)
    leaves = {name: p.detach().requires_grad_() for name, p in generator.named_parameters()}
    generator.train()  # batch norm by the statistics of this batch, whose images are generated
    loss = -module.discriminator(functional_call(generator, leaves, (noise, labels)), labels).mean()
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    generator.eval()
    module.descend(dict(zip(leaves, gradients, strict=True)), learning_rate=settings.learning_rate)
