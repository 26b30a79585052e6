"""A generator trained by critics that live on shards of the private records: only noised slopes leave them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpgen import validate
from dpgen.budget import NeighboringRelation
from dpgen.errors import InvalidValue
from dpgen.events import DpEvent, Gaussian, OnShards, PoissonSampled, SelfComposed
from dpgen.mechanisms.base import Ids, Mechanism, Records
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.discreet import discreet
from dpgen.mechanisms.training_state import TrainingState
from dpgen.networks.image_generator import ImageGenerator
from dpgen.noise import NoiseSource
from dpgen_plugins.gan.critics import Critics
from dpgen_plugins.gan.networks import images_by_class, inputs_of
from dpgen_plugins.gan.shards import Shards, clipped_blocks, turn

CHECKPOINT_EVERY: Final = 100


def sharded_critics_event(*, noise_multiplier: float, sampling_probability: float, steps: int) -> DpEvent:
    """What `ShardedCritics` with these settings does, for planning."""
    return OnShards(SelfComposed(PoissonSampled(sampling_probability, Gaussian(noise_multiplier)), steps))


@final
@dataclass(frozen=True, kw_only=True)
class ShardedCritics(Mechanism[dict[str, Tensor]]):
    """Train a copy of `generator` by the noised slopes of critics; release the moving average of its weights.

    Each record lies in one of `shards` shards, chosen by a coin of its own, and each shard trains a critic of its own,
    without noise. In a step each shard joins with `sampling_probability`; its critic says how the score of each of
    `batch` generated images grows with their pixels; that whole block of slopes, averaged over square cells of `cell`
    pixels, is clipped to `clip_norm` at once; the sum over the shards gets Gaussian noise of deviation
    `noise_multiplier * clip_norm`, is divided by the public `sampling_probability * shards`, and trains the generator.

    Privacy: charges `sharded_critics_event` with the same settings, whole, before anything is read. Why it holds: fix
    every coin that is not drawn in a step's own sample. Adding, removing or replacing a record changes one shard's
    critic and no other, since a critic is a function of its own shard, of what was released before, and of coins that
    are addressed by its shard; which critics are trained in a step is a public schedule, never who joined (a critic
    trained only when drawn would carry the sample of one step into the others). So a step is a Poisson-sampled sum over
    shards, in which one shard's vector of norm `clip_norm` at most is replaced by another: that is `PoissonSampled`
    under replace-one, and L2 sensitivity 2 `clip_norm`, for both relations. One clip and one noise for the block price
    its rows jointly.

    Args:
        critic: initial weights of all critics, public; a module (images, labels) -> one score per image, no buffers.
        warm_up: steps of each critic before the first release; then `critics_per_step` shards in turn at each step.
        critic_batch: records of its shard that a critic sees in a step, drawn with replacement. An empty shard's critic
            stays at its initial weights.
        shown: generated images of each class that critics compare records with, made anew at each step.
        ema_decay: of the released average. phase: names progress and checkpoint.

    Returns: the state of the generator, safe to publish once charged. The unfinished checkpoint holds the critics, so
    it is private until the caller drops it.
    Raises: `InvalidValue` on construction, or for images whose sides `cell` does not divide; `ResumeError` for another
    release's checkpoint.
    Source: Chen, Orekondy, Fritz, GS-WGAN, NeurIPS 2020 (arXiv 2006.08265); there one critic is drawn for a step.
    """

    name: ClassVar[str] = "sharded_critics"
    cites: ClassVar[tuple[str, ...]] = (
        "Chen, Orekondy, Fritz: GS-WGAN: A Gradient-Sanitized Approach for Learning Differentially Private Generators. "
        "NeurIPS 2020. arXiv 2006.08265",
    )

    generator: ImageGenerator
    critic: nn.Module
    shards: int
    sampling_probability: float
    noise_multiplier: float
    clip_norm: float
    steps: int
    batch: int
    learning_rate: float
    critic_learning_rate: float
    critic_batch: int
    critics_per_step: int
    warm_up: int
    cell: int = 1
    shown: int = 32
    ema_decay: float = 0.99
    rate_factor: Callable[[int], float] = lambda step: 1.0
    phase: str = "sharded critics"

    def __post_init__(self) -> None:
        validate.count(1, shards=self.shards, steps=self.steps, batch=self.batch, critic_batch=self.critic_batch)
        validate.count(1, critics_per_step=self.critics_per_step, cell=self.cell, shown=self.shown)
        validate.count(0, warm_up=self.warm_up)
        validate.positive(clip_norm=self.clip_norm, sampling_probability=self.sampling_probability)
        validate.positive(learning_rate=self.learning_rate, critic_learning_rate=self.critic_learning_rate)
        validate.probability(sampling_probability=self.sampling_probability, ema_decay=self.ema_decay)
        validate.not_negative(noise_multiplier=self.noise_multiplier)
        if self.critics_per_step > self.shards:
            raise InvalidValue(
                f"critics_per_step must be at most shards; found {self.critics_per_step} of {self.shards}."
            )

    def event(self, relation: NeighboringRelation) -> DpEvent:
        """The same tree under both relations."""
        return sharded_critics_event(
            noise_multiplier=self.noise_multiplier, sampling_probability=self.sampling_probability, steps=self.steps
        )

    def sensitivity(self, relation: NeighboringRelation) -> float:
        """Of a step's sum: one shard's vector is replaced, whatever the relation."""
        return 2 * self.clip_norm

    def _measure(
        self, records: Records, *, noise: NoiseSource, relation: NeighboringRelation, context: RunContext
    ) -> dict[str, Tensor]:
        nothing, _ = records.batch(np.empty(0, dtype=np.int64))  # the image shape is public; no record is read
        require_cells(nothing.shape[2], nothing.shape[3], self.cell)
        training = _Training(self, records, noise, context)
        with context.progress.track(self.phase, self.steps) as advance:
            advance(training.state.step)
            while training.state.step < self.steps:
                training.step(self.sensitivity(relation))
                advance(1)
        return training.state.ema


def require_cells(height: int, width: int, cell: int) -> None:
    """Raises: `InvalidValue` where cells do not fill an image."""
    if height % cell or width % cell:
        raise InvalidValue(f"cell must divide the sides of an image; found {cell} for {height} x {width}.")


@final
class _Training:
    """One release under way: the generator, the critics, and who lies in which shard."""

    def __init__(self, settings: ShardedCritics, records: Records, noise: NoiseSource, context: RunContext) -> None:
        self._settings, self._noise, self._context = settings, noise, context
        self._generator = copy.deepcopy(settings.generator).to(context.device)
        optimizer = partial(torch.optim.Adam, lr=settings.learning_rate, betas=(0.5, 0.99))
        self.state = TrainingState(self._generator, optimizer)
        critic = copy.deepcopy(settings.critic).to(context.device)
        self._critics = Critics(critic, settings.shards, learning_rate=settings.critic_learning_rate)
        self._shards = Shards(records, noise, settings.shards)
        beside = self.state.continue_from(context.checkpoints, self._checkpoint, self._identity())
        if beside is not None:
            self._critics.load({name: t.to(context.device) for name, t in beside.items()})
        elif settings.warm_up:
            self._warm_up()

    @property
    def _checkpoint(self) -> str:
        return f"{self._settings.phase}.unfinished"

    def step(self, sensitivity: float) -> None:
        """Critics learn, shards join, slopes are noised, the generator follows them."""
        settings, step = self._settings, self.state.step
        self._critics_learn(turn(step, settings.critics_per_step, settings.shards), "step", step)
        noise, labels = inputs_of(self._generator, settings.batch, self._context.generator(f"{settings.phase} {step}"))
        self._generator.train()
        images = self._generator(noise, labels)
        slopes = self._released_slopes(images.detach(), labels, sensitivity)
        gradients = torch.autograd.grad(images, list(self.state.trainable.values()), -slopes)
        self._generator.eval()
        gradient = dict(zip(self.state.trainable, gradients, strict=True))
        self.state.descend(gradient, rate_factor=settings.rate_factor(step))
        self.state.average(decay=settings.ema_decay)
        if self.state.step % CHECKPOINT_EVERY == 0 and self.state.step < settings.steps:
            self.state.save(
                self._context.checkpoints, self._checkpoint, self._identity(), beside=self._critics.tensors()
            )

    def _released_slopes(self, images: Tensor, labels: Tensor, sensitivity: float) -> Tensor:
        """The noised mean over the shards that joined, `[batch, channels, height, width]`. Safe once charged."""
        settings, step = self._settings, self.state.step
        joined = self._noise.poisson_subset(
            np.arange(settings.shards, dtype=np.int64), probability=settings.sampling_probability, step=step
        )
        small = F.avg_pool2d(images, settings.cell)
        total = torch.zeros(small.shape, dtype=torch.float64)
        for first in range(0, len(joined), settings.critics_per_step):  # as many at once as learn at once
            some = torch.from_numpy(joined[first : first + settings.critics_per_step]).to(images.device)
            slopes = F.avg_pool2d(self._critics.slopes(some, images, labels).flatten(0, 1), settings.cell)
            blocks = slopes.view(len(some), *small.shape).to("cpu", torch.float64)
            total += clipped_blocks(blocks, settings.clip_norm).sum(0)
        released = self._noise.gaussian(
            total.numpy(),
            standard_deviation=settings.noise_multiplier * settings.clip_norm,
            sensitivity=sensitivity,
            step=step,
        )
        mean = torch.from_numpy(released).to(images) / (settings.sampling_probability * settings.shards)
        return F.interpolate(mean, scale_factor=settings.cell)

    def _warm_up(self) -> None:
        settings = self._settings
        with self._context.progress.track(f"{settings.phase}: warm-up", settings.warm_up) as advance:
            for update in range(settings.warm_up):
                for first in range(0, settings.shards, settings.critics_per_step):
                    some = np.arange(first, min(first + settings.critics_per_step, settings.shards))
                    self._critics_learn(some, "warm-up", update)
                advance(1)

    def _critics_learn(self, shards: Ids, purpose: str, step: int) -> None:
        """One step of the critics of `shards`, a public choice; those without a record stay as they are."""
        settings, device = self._settings, self._context.device
        draws = self._context.generator(f"{settings.phase}, shown in {purpose} {step}, {shards[0]}")
        shown = images_by_class(self._generator, settings.shown, draws)
        rows = self._shards.rows(shards, settings.critic_batch, purpose=purpose, step=step)
        images, labels, choice, mix, filled = (part.to(device) for part in rows)
        with discreet("classes"):
            generated = shown[labels, (choice * settings.shown).long()]
            self._critics.learn(torch.from_numpy(shards).to(device), images, labels, generated, mix, filled)

    def _identity(self) -> dict[str, Any]:
        """Whose checkpoint it is: the settings, the weights at the start, and a fingerprint of the noise address."""
        plain = {key: value for key, value in vars(self._settings).items() if isinstance(value, int | float)}
        coins = self._noise.under("checkpoint").poisson_subset(np.arange(64, dtype=np.int64), probability=0.5)
        start = hashlib.sha256()
        for module in (self._settings.generator, self._settings.critic):
            for tensor in module.state_dict().values():
                start.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return plain | {"start": start.hexdigest(), "address": f"{sum(1 << int(coin) for coin in coins):x}"}
