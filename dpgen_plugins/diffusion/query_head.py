"""A linear head on frozen features: softmax regression, or the nearest mean of a class. Public images alone: free."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpgen.networks.training import one_cycle

Head = Literal["linear", "class_mean"]
BATCH = 256
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 1e-2
LABEL_SMOOTHING = 0.05


def fit_head(
    features: Tensor, labels: Tensor, *, classes: int, kind: Head, steps: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """A head for features that are centred and brought to one scale, which keeps their geometry.

    (A scale for each feature would make those that say nothing as loud as the others.)

    Privacy: none; the features must be those of public images.
    Args: `features` float `[n, d]` and `labels` int64 `[n]` in [0, classes); `steps` of the regression.
    Returns: `mean` `[d]`; `deviation` `[]`, the root mean square distance from it over all features; `weight`
    `[classes, d]`; `bias` `[classes]`. A class without an image has the bias minus infinity: nothing votes for what
    nobody has shown.
    """
    mean = features.mean(0)
    deviation = (features - mean).square().mean().sqrt().clamp(min=torch.finfo(torch.float32).tiny)
    standard = (features - mean) / deviation
    if kind == "class_mean":
        weight, bias = _nearest_mean(standard, labels, classes)
    else:
        weight, bias = _regression(standard, labels, classes, steps, generator)
    absent = torch.bincount(labels, minlength=classes) == 0
    bias = torch.where(absent, -torch.inf, bias)
    return {"mean": mean, "deviation": deviation, "weight": weight, "bias": bias}


def _nearest_mean(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """-|x - m|^2 / 2 = m.x - |m|^2 / 2 - |x|^2 / 2, whose last part is the same for all classes."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    means = torch.zeros(classes, features.shape[1]).index_add_(0, labels, features) / counts[:, None]
    return means, -means.square().sum(1) / 2


def _regression(
    features: Tensor, labels: Tensor, classes: int, steps: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Softmax regression by AdamW, from 0, with one cycle of the learning rate."""
    weight = nn.Parameter(torch.zeros(classes, features.shape[1]))
    bias = nn.Parameter(torch.zeros(classes))
    optimiser = torch.optim.AdamW([weight, bias], weight_decay=WEIGHT_DECAY)
    for step in range(steps):
        rows = torch.randint(len(features), (BATCH,), generator=generator)
        logits = features[rows] @ weight.T + bias
        loss = functional.cross_entropy(logits, labels[rows], label_smoothing=LABEL_SMOOTHING)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * one_cycle(step / steps)
        weight.grad, bias.grad = torch.autograd.grad(loss, [weight, bias])
        optimiser.step()
    return weight.detach(), bias.detach()
