"""The settings that the GANs share. Every one changes utility or price, never the promise."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GeneratorSettings(_Settings):
    """The generator; see `dpgen.networks.image_generator.ImageGenerator`."""

    latent: int = Field(default=10, ge=1, description="random inputs of an image; many of them drown its class")
    width: int = Field(default=16, ge=1, description="channels of the last hidden layer")


class DiscriminatorSettings(_Settings):
    """The discriminator; see `dpgen_plugins.gan.networks.Discriminator`."""

    width: int = Field(default=32, ge=1, description="channels of the first layer, doubled at each halving")
    halvings: int = Field(default=2, ge=1, description="times that the side of the map is halved")


class GeneratorSteps(_Settings):
    """The generator's own training: it sees the discriminator alone, never a record."""

    every: int = Field(default=2, ge=1, description="discriminator steps to one generator step")
    batch: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    shown: int = Field(default=32, ge=1, description="generated images of each class that a step compares records with")


class AdversarialPretraining(_Settings):
    """Ordinary training of both networks on a public set; 0 steps use none."""

    steps: int = Field(default=0, ge=0)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    ema_decay: float = Field(default=0.99, ge=0, lt=1)


class ShardSettings(_Settings):
    """The shards of GS-WGAN and the critics on them. Critics learn without noise, and are never released."""

    count: int = Field(default=200, ge=1, description="shards; each record lies in one, by its own coin")
    per_step: int = Field(default=20, ge=1, description="critics that learn in a step, in turn")
    batch: int = Field(default=32, ge=1, description="records of its shard that a critic sees in a step")
    warm_up: int = Field(default=30, ge=0, description="steps of each critic before the first release")
    learning_rate: float = Field(default=1e-3, gt=0)


class SlopeSettings(_Settings):
    """What is released of the critics: how scores grow with the pixels of generated images, noised."""

    expected_shards: float = Field(
        default=20, gt=0, description="shards that join a step; over `shards.count` it is the sampling probability"
    )
    steps: int = Field(default=1000, ge=1)
    batch: int = Field(default=40, ge=1, description="generated images; their slopes share one clip")
    cell: int = Field(default=2, ge=1, description="side of the cells of pixels that slopes are averaged over")
    clip_norm: float = Field(default=1.0, gt=0, description="L2 bound of one shard's slopes, all images together")
    learning_rate: float = Field(default=1e-3, gt=0, description="of the generator")
    final_learning_rate: float = Field(default=0.1, ge=0, le=1, description="share of the rate left at the last step")
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
