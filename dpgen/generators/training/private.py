"""DP-SGD as the large charge of a plan: what it costs, how its noise is solved, and how it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from dpgen.accountants.base import Accountant
from dpgen.accountants.calibration.search import calibrate
from dpgen.accountants.calibration.split import Part, Split, split_budget
from dpgen.budget import Budget, Charge, Plan
from dpgen.data.datasets import PrivateDataset
from dpgen.data.info import DatasetInfo
from dpgen.errors import PlanMismatch
from dpgen.events import DpEvent, Gaussian, PoissonSampled, SelfComposed
from dpgen.generators.training.public_step import linear_decay
from dpgen.generators.training.settings import FinetuneSettings
from dpgen.mechanisms.dp_sgd import DpSgd, Inputs, RowLoss, dp_sgd_event

LABEL = "finetune"


def sampling_probability(settings: FinetuneSettings, info: DatasetInfo) -> float:
    """The chance that a record joins a step: expected batch over declared records, at most 1."""
    return min(1.0, settings.expected_batch / info.nominal_records)


def finetune_event(settings: FinetuneSettings, info: DatasetInfo, noise_multiplier: float) -> DpEvent:
    """What the whole training costs."""
    return dp_sgd_event(
        noise_multiplier=noise_multiplier,
        sampling_probability=sampling_probability(settings, info),
        steps=settings.steps,
    )


def finetune_charge(settings: FinetuneSettings, info: DatasetInfo, budget: Budget, accountant: Accountant) -> Charge:
    """The charge of a training that may spend the whole budget.

    Raises: `CalibrationError` when no amount of noise meets it.
    """
    training = partial(finetune_event, settings, info)
    return Charge(LABEL, training(calibrate(accountant, budget, training)))


def charged_part(
    label: str, event: Callable[[float], DpEvent], *, budget_share: float, noise_multiplier: float | None
) -> Part:
    """A charge beside the training, in a plan: with the noise that is stated, else with what its share gives."""
    if noise_multiplier is None:
        return Part(label, event, share=budget_share)
    return Part(label, event, value=noise_multiplier)


def finetune_beside(
    others: Sequence[Part],
    settings: FinetuneSettings,
    info: DatasetInfo,
    budget: Budget,
    accountant: Accountant,
    *,
    cause: str,
) -> tuple[Split, str]:
    """A plan of `others`, then a training with what they leave; and a note on what they cost, begun by `cause`.

    Raises: `CalibrationError` when no amount of noise meets the budget.
    """
    training = partial(finetune_event, settings, info)
    split = split_budget(accountant, budget, (*others, Part(LABEL, training)))
    beside, alone = split.values[LABEL], calibrate(accountant, budget, training)
    return split, (
        f"{cause} the noise multiplier of DP-SGD from {alone:.4f} to {beside:.4f} ({100 * (beside / alone - 1):.2f} %)"
    )


def train_privately(
    module: nn.Module,
    private: PrivateDataset,
    plan: Plan,
    *,
    inputs: Inputs,
    loss: RowLoss,
    settings: FinetuneSettings,
    after_step: Callable[[nn.Module, int], None] | None = None,
) -> dict[str, Tensor]:
    """Train from the weights of `module` by DP-SGD on any loss and return the moving average of the weights.

    Args: `inputs`, `loss` and `after_step` as `DpSgd` takes them.

    Privacy: the charge that `plan` holds under "finetune"; add-or-remove-one L2 sensitivity `clip_norm` per step.
    """
    mechanism = DpSgd(
        module=module,
        inputs=inputs,
        loss=loss,
        clip_norm=settings.clip_norm,
        noise_multiplier=_planned_noise(plan),
        sampling_probability=sampling_probability(settings, private.info),
        steps=settings.steps,
        nominal_records=private.info.nominal_records,
        optimizer=partial(torch.optim.Adam, lr=settings.learning_rate, betas=(0.9, 0.99)),
        learning_rate=partial(linear_decay, steps=settings.steps, final=settings.final_learning_rate),
        views=settings.views,
        ema_decay=settings.ema_decay,
        after_step=after_step,
        phase=LABEL,
    )
    return dict(private.release(mechanism, label=LABEL).ema)


def _planned_noise(plan: Plan) -> float:
    match plan[LABEL]:
        case SelfComposed(event=PoissonSampled(event=Gaussian(noise_multiplier=noise_multiplier))):
            return noise_multiplier
    raise PlanMismatch(expected="a DP-SGD event under 'finetune'", got=str(plan[LABEL]))
