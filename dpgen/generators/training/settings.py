"""Settings of the trainings. Every one changes utility or price, never the promise."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Base of a table of settings inside a generator's: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


NOISE_MULTIPLIER = Field(
    default=None,
    gt=0,
    description="deviation of the noise over the add-or-remove-one bound, fixed instead of solved from `budget_share`",
)
"""The noise of a charge beside the training."""


class TrainingSettings(Settings):
    """Ordinary training: Adam, a short warm-up, then a linear decay of the learning rate."""

    steps: int = Field(default=2000, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    final_learning_rate: float = Field(default=0.1, ge=0, le=1, description="share of the rate left at the last step")
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    jitter: float = Field(default=0.0, ge=0, description="strength of the random deformation of public images")


class PretrainSettings(TrainingSettings):
    """Ordinary training on public images, which ends early where a loss on some of them says so: that is free."""

    validation_share: float = Field(
        default=0.0, ge=0, lt=1, description="public images held back to validate on; 0 trains all steps on all images"
    )
    validation_every: int = Field(default=250, ge=1, description="steps between two validations")
    patience: int = Field(
        default=4, ge=1, description="validations in a row without a lower loss after which training ends"
    )
    checkpoint: str | None = Field(
        default=None, description="folder that `dpgen pretrain` made: its weights are taken instead of training"
    )


class FinetuneSettings(Settings):
    """DP-SGD. The sampling probability is `expected_batch` / declared records; the noise is solved from the budget."""

    expected_batch: float = Field(default=1024, gt=0)
    steps: int = Field(default=300, ge=1)
    views: int = Field(default=1, ge=1, description="noise levels per image, averaged before the one clip")
    clip_norm: float = Field(default=0.5, gt=0)
    learning_rate: float = Field(default=3e-3, gt=0)
    final_learning_rate: float = Field(default=0.1, ge=0, le=1, description="share of the rate left at the last step")
    ema_decay: float = Field(default=0.985, ge=0, lt=1)
