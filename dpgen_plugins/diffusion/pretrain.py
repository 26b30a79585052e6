"""Ordinary training of a diffusion network on public images: no privacy cost, resumable, equal seeds equal weights."""

from __future__ import annotations

import torch
from torch import Tensor

from dpgen.mechanisms.context import RunContext
from dpgen.networks.augment import Augmentation
from dpgen.networks.unet import UNet
from dpgen.noise import PublicRows
from dpgen_plugins.diffusion.edm import row_losses, training_inputs
from dpgen_plugins.diffusion.settings import NoiseLevelSettings, PretrainSettings

PHASE = "pretrain"
WARM_UP_STEPS = 30
CHECKPOINT_EVERY = 250
PRINT_TO_HAND = Augmentation(rotation=0.22, shear=0.2, scale=0.12, shift=0.03, elastic=0.02)
"""Deformation of public images at strength 1."""


def pretrain(
    network: UNet,
    images: Tensor,
    labels: Tensor,
    *,
    settings: PretrainSettings,
    noise_levels: NoiseLevelSettings,
    context: RunContext,
) -> dict[str, Tensor]:
    """Train `network` in place and return the moving average of its weights.

    Privacy: none; `images` (uint8 `[n, c, h, w]`) and `labels` (int64 `[n]`) must be public.
    Continues from the last checkpoint of the phase when there is one: every draw belongs to its step.
    """
    network.to(context.device).train()
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
    inputs = training_inputs(noise_levels)
    first = _restore(network, averaged, optimizer, context)
    with context.progress.track(PHASE, settings.steps) as advance:
        advance(first)
        for step in range(first, settings.steps):
            generator = context.generator(f"{PHASE} {step}")
            rows = torch.randint(len(images), (settings.batch,), generator=generator)
            batch = images[rows].to(context.device).float() / 255
            if settings.jitter:
                batch = PRINT_TO_HAND.times(settings.jitter)(batch, generator)
            random = PublicRows(len(rows), generator, context.device)
            loss = row_losses(network, *inputs(batch, labels[rows].to(context.device), views=1, random=random)).mean()
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _schedule(step, settings)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            _average(averaged, network, settings.ema_decay, step)
            advance(1)
            if (step + 1) % CHECKPOINT_EVERY == 0 and step + 1 < settings.steps:
                _save(network, averaged, optimizer, context, step + 1)
    return averaged


def _schedule(step: int, settings: PretrainSettings) -> float:
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm_up * linear_decay(step, settings.steps, settings.final_learning_rate)


def linear_decay(step: int, steps: int, final: float) -> float:
    """Factor on the learning rate: linear from 1 at the first step to `final` at the last."""
    return 1 - (1 - final) * step / max(steps - 1, 1)


@torch.no_grad()
def _average(averaged: dict[str, Tensor], network: UNet, decay: float, step: int) -> None:
    rate = min(decay, (1 + step) / (10 + step))  # short memory at first, so that the random start is forgotten
    for name, value in network.state_dict().items():
        averaged[name].lerp_(value, 1 - rate)


def _save(
    network: UNet, averaged: dict[str, Tensor], optimizer: torch.optim.Optimizer, context: RunContext, step: int
) -> None:
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"averaged.{name}": value for name, value in averaged.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    context.checkpoints.save(f"{PHASE}-progress", tensors, {"step": step})


def _restore(network: UNet, averaged: dict[str, Tensor], optimizer: torch.optim.Optimizer, context: RunContext) -> int:
    """Load the last checkpoint of the phase into place and return the step it reached; 0 when there is none."""
    saved = context.checkpoints.load(f"{PHASE}-progress")
    if saved is None:
        return 0
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "averaged": {}, "optimizer": {}}
    for key, value in saved.tensors.items():
        part, name = key.split(".", 1)
        parts[part][name] = value.to(context.device)
    network.load_state_dict(parts["network"])
    averaged.update(parts["averaged"])
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in parts["optimizer"].items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value.cpu() if name == "step" else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(saved.facts["step"])
