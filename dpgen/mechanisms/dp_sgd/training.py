"""DP-SGD as a mechanism: Poisson samples, one clip per example, Gaussian noise, a public divisor."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, final

import numpy as np
import torch
from torch import Tensor, nn

from dpgen import validate
from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.distributed import World
from dpgen.errors import InvalidValue
from dpgen.events import DpEvent, Gaussian, PoissonSampled, SelfComposed
from dpgen.mechanisms.base import Mechanism, Records
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.dp_sgd.checks import check_bounds, check_module
from dpgen.mechanisms.dp_sgd.computed import computed_loss
from dpgen.mechanisms.dp_sgd.gradients import RowLoss
from dpgen.mechanisms.dp_sgd.memory import most_rows
from dpgen.mechanisms.dp_sgd.noising import noised_mean
from dpgen.mechanisms.dp_sgd.pass_size import PassSize
from dpgen.mechanisms.dp_sgd.passes import Passes
from dpgen.mechanisms.dp_sgd.rehearsal import Inputs, rehearse
from dpgen.mechanisms.dp_sgd.routes import gradient_notes
from dpgen.mechanisms.training_state import MakeOptimizer, TrainingState
from dpgen.noise import NoiseSource

_log: Final = logging.getLogger("dpgen.mechanisms")

CHECKPOINT_EVERY: Final = 25
"""Steps between two checkpoints; at most this many are redone after a crash."""


@dataclass(frozen=True)
class TrainedModule:
    """State dicts of the trained module and of its moving average, frozen parts and buffers included.

    Both are DP output: safe to publish once charged.
    """

    weights: dict[str, Tensor]
    ema: dict[str, Tensor]


def dp_sgd_event(*, noise_multiplier: float, sampling_probability: float, steps: int) -> DpEvent:
    """What `DpSgd` with these settings does, for planning before any module exists."""
    return SelfComposed(PoissonSampled(sampling_probability, Gaussian(noise_multiplier)), steps)


def _constant(step: int) -> float:
    return 1.0


@final
@dataclass(frozen=True, kw_only=True)
class DpSgd(Mechanism[TrainedModule]):
    """Train a copy of `module` on private records; release the weights after the last step, and their average.

    One step: each record joins with `sampling_probability`; the gradient of the mean loss of a record's `views` is
    clipped to `clip_norm`; the sum over the records gets Gaussian noise of deviation `noise_multiplier * clip_norm`
    and is divided by the public `sampling_probability * nominal_records`. Empty samples are steps like any other.

    Privacy: charges `dp_sgd_event` with the same settings, whole, before the first step. One record moves a step's
    sum by at most `clip_norm` (add or remove), `2 * clip_norm` (replace): the noise is the same, accountants price the
    distance. Assumed public: every field. `after_step(module, step)` sees noised state only; what it changes outside
    the module is not in the checkpoints. Let it give nothing away: a step that is redone after a crash repeats its
    noise, on a sum that may be rounded differently.

    Args:
        module: trained from its weights as given, in its train or eval mode as given; never modified.
        inputs, loss: see `Inputs` and `RowLoss`; all randomness inside a record's loss comes from `random`.
        nominal_records: declared size of the data set, never the true count.
        optimizer: makes the optimizer from the trainable parameters, `partial(torch.optim.Adam, lr=1e-3)` say.
        learning_rate: factor on the optimizer's rate at each step, counted from 0.
        ema_decay: of the average, warmed up as min(ema_decay, (1 + step) / (10 + step)).
        normalising_stability: None clips; a number normalises each gradient, as `clipped_gradient_sum` says.
        phase: names progress and checkpoint (`PHASE.unfinished`); each DpSgd of one run needs its own.

    A killed release continues from the checkpoint, which is left in place for the caller to drop: until the result
    itself is saved it is the only copy. Draws are addressed by step, so redone steps repeat their samples and noise.

    The processes of `context.world` share the work of a step: one sample, dealt to them evenly; one sum; noise once, in
    the first of them. How many they are enters neither the event nor the checkpoint.

    Raises: `InvalidValue`, `PrivacyError`, `SensitivityError` on construction for settings or modules as in
    `check_module`; while measuring, `ResumeError` for another release's checkpoint, `DistributedError`
    for processes that do not start alike or drift apart.
    Source: Abadi et al. 2016 (arXiv 1607.00133), algorithm 1; views: De et al. 2022 (arXiv 2204.13650).
    """

    name: ClassVar[str] = "dp_sgd"
    cites: ClassVar[tuple[str, ...]] = (
        "Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar, Zhang: Deep Learning with Differential Privacy. CCS "
        "2016. arXiv 1607.00133",
        "De, Berrada, Hayes, Smith, Balle: Unlocking High-Accuracy Differentially Private Image Classification "
        "through Scale. 2022. arXiv 2204.13650",
    )
    collective: ClassVar[bool] = True

    module: nn.Module
    inputs: Inputs
    loss: RowLoss
    clip_norm: float
    noise_multiplier: float
    sampling_probability: float
    steps: int
    nominal_records: int
    optimizer: MakeOptimizer
    learning_rate: Callable[[int], float] = _constant
    views: int = 1
    ema_decay: float = 0.999
    normalising_stability: float | None = None
    after_step: Callable[[nn.Module, int], None] | None = None
    phase: str = "dp-sgd"

    def __post_init__(self) -> None:
        check_bounds(self.clip_norm, self.normalising_stability)
        validate.positive(sampling_probability=self.sampling_probability)
        validate.probability(sampling_probability=self.sampling_probability, ema_decay=self.ema_decay)
        validate.not_negative(noise_multiplier=self.noise_multiplier)
        validate.count(1, steps=self.steps, nominal_records=self.nominal_records, views=self.views)
        if not self.phase:
            raise InvalidValue("phase must be a name such as 'finetune'; found ''.")
        check_module(self.module)

    def event(self, relation: NeighboringRelation) -> DpEvent:
        """The same tree under both relations: a noise multiplier is stated for add-or-remove-one."""
        return dp_sgd_event(
            noise_multiplier=self.noise_multiplier, sampling_probability=self.sampling_probability, steps=self.steps
        )

    def sensitivity(self, relation: NeighboringRelation) -> float:
        """Of one step's sum, all parameters together."""
        return self.clip_norm * (2 if relation is REPLACE_ONE else 1)

    def _measure(
        self, records: Records, *, noise: NoiseSource, relation: NeighboringRelation, context: RunContext
    ) -> TrainedModule:
        nothing, _ = records.batch(np.empty(0, dtype=np.int64))  # the image shape is public; no record is read
        self._rehearse(nothing.shape[1:], context)
        for note in gradient_notes(self.module):
            _log.info("%s: %s", self.phase, note)
        state = TrainingState(context.compute.place(copy.deepcopy(self.module), context.device), self.optimizer)
        checkpoint, identity = f"{self.phase}.unfinished", self._identity(noise)
        context.world.require_equal(f"start of {self.phase!r}", lambda: json.dumps(identity))
        state.continue_from(context.checkpoints, checkpoint, identity)
        passes = self._passes(state.module, nothing.shape[1:], context)
        with context.progress.track(self.phase, self.steps) as advance:
            advance(state.step)
            while state.step < self.steps:
                if context.world.is_first:  # it alone will need the noise
                    shapes = {name: tuple(p.shape) for name, p in state.trainable.items()}
                    noise.prepare_gaussian(shapes, step=state.step)
                part = self._clipped_sum(state, records, noise, passes, context.world)
                noised = partial(self._noised, noise=noise, relation=relation, step=state.step)
                self._descend(state, context.world.add_up(part, finish=noised))
                if state.step % CHECKPOINT_EVERY == 0 or state.step == self.steps:
                    context.world.require_equal("trained weights", lambda: _digest(state.module))
                    state.save(context.checkpoints, checkpoint, identity)
                advance(1)
        return TrainedModule(state.weights(), state.ema)

    def _rehearse(self, image: torch.Size, context: RunContext) -> None:
        module = copy.deepcopy(self.module).to(context.device)
        generator = context.generator(f"rehearsal of {self.phase}")
        rehearse(module, self.inputs, self.loss, views=self.views, image=image, generator=generator)

    def _identity(self, noise: NoiseSource) -> dict[str, Any]:
        """Whose checkpoint it is: the settings, the weights at the start, and a fingerprint of the noise address."""
        settings = (
            "clip_norm",
            "normalising_stability",
            "noise_multiplier",
            "sampling_probability",
            "steps",
            "nominal_records",
            "views",
        )
        coins = noise.under("checkpoint").poisson_subset(np.arange(64, dtype=np.int64), probability=0.5)
        address = sum(1 << int(coin) for coin in coins)  # 64 bits of (run key, label); touches no record
        return {key: getattr(self, key) for key in settings} | {
            "start": _digest(self.module),
            "address": f"{address:x}",
        }

    def _passes(self, module: nn.Module, image: torch.Size, context: RunContext) -> Passes:
        passes = Passes(
            module=module,
            inputs=self.inputs,
            loss=computed_loss(self.loss, module, context.compute.eager, context.device),
            clip_norm=self.clip_norm,
            device=context.device,
            size=PassSize.of_rows(context.physical_batch, self.views),
            fixed_shape=context.fixed_shape,
            normalising_stability=self.normalising_stability,
        )
        if context.fit_to_memory:
            share = self.sampling_probability * self.nominal_records * self.views / context.world.size
            most = most_rows(context.device, expected_rows=share)
            passes.fit(image, context.generator(f"memory of {self.phase}"), most=most, sharers=context.world.size)
        # Compiled only now, for the one size that was found.
        passes.loss = computed_loss(self.loss, module, context.compute, context.device)
        return passes

    def _clipped_sum(
        self, state: TrainingState, records: Records, noise: NoiseSource, passes: Passes, world: World
    ) -> dict[str, Tensor]:
        """The clipped sum over this process's share of the one Poisson sample; float64, by parameter name."""
        joined = noise.poisson_subset(records.ids, probability=self.sampling_probability, step=state.step)
        return passes.clipped_sum(records, world.share(joined), noise, step=state.step)

    def _noised(
        self, total: dict[str, Tensor], *, noise: NoiseSource, relation: NeighboringRelation, step: int
    ) -> dict[str, Tensor]:
        """The noised sum divided by the public expected sample size, never by the private actual one."""
        return noised_mean(
            total,
            noise,
            standard_deviation=self.noise_multiplier * self.clip_norm,
            sensitivity=self.sensitivity(relation),
            divisor=self.sampling_probability * self.nominal_records,
            step=step,
        )

    def _descend(self, state: TrainingState, gradient: dict[str, Tensor]) -> None:
        step = state.step
        state.descend(gradient, rate_factor=self.learning_rate(step))
        if self.after_step is not None:
            self.after_step(state.module, step)
        state.average(decay=self.ema_decay)


def _digest(module: nn.Module) -> str:
    """SHA-256 of all weights and buffers."""
    code = hashlib.sha256()
    for key, tensor in module.state_dict().items():
        code.update(key.encode() + tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return code.hexdigest()
