"""The settings that the GANs share. Every one changes utility or price, never the promise."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GeneratorSettings(_Settings):
    """The generator; see `dpgen.networks.image_generator.ImageGenerator`."""

    latent: int = Field(default=32, ge=1, description="random inputs of an image")
    width: int = Field(default=16, ge=1, description="channels of the last hidden layer")


class DiscriminatorSettings(_Settings):
    """The discriminator; see `dpgen_plugins.gan.networks.Discriminator`."""

    width: int = Field(default=32, ge=1, description="channels of the first layer, doubled at each halving")
    halvings: int = Field(default=2, ge=1, description="times that the side of the map is halved")


class GeneratorSteps(_Settings):
    """The generator's own training: it sees the discriminator alone, never a record."""

    every: int = Field(default=5, ge=1, description="discriminator steps to one generator step")
    batch: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    shown: int = Field(default=32, ge=1, description="generated images of each class that a step compares records with")


class AdversarialPretraining(_Settings):
    """Ordinary training of both networks on a public set; 0 steps use none."""

    steps: int = Field(default=0, ge=0)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
