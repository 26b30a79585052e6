"""The settings of the VAE that DP-SGD trains. Every one changes utility or price, never the promise."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VaeSettings(_Settings):
    """Encoder, decoder and what they are trained for."""

    latent: int = Field(default=16, ge=1, description="numbers of a code")
    width: int = Field(default=16, ge=4, multiple_of=4, description="channels of the largest map, doubled at a halving")
    halvings: int = Field(default=2, ge=1)
    likelihood: Literal["bernoulli", "logistic"] = Field(
        default="bernoulli",
        description="of a pixel: bernoulli for drawings, logistic over the 256 grey values for photographs",
    )
    beta: float = Field(default=0.5, gt=0, description="weight of the divergence from the standard normal prior")
    free_bits: float = Field(default=0.0, ge=0, description="nats of each code number that cost nothing")


class LatentPriorSettings(_Settings):
    """Where codes are drawn from when images are made."""

    kind: Literal["normal", "class_normal"] = Field(
        default="class_normal",
        description="normal: the standard normal; class_normal: for each class the noisy mean and covariance of the "
        "codes of its records, one more charge",
    )
    budget_share: float = Field(
        default=0.1, gt=0, lt=1, description="epsilon of those moments alone, as a share of the run's epsilon"
    )
    radius: float = Field(
        default=1.25, gt=0, description="length that a record's code is clipped to, over the square root of `latent`"
    )
    temperature: float = Field(default=1.0, gt=0, description="factor on the deviation of codes when images are made")


class CertifiedVaeSettings(_Settings):
    """The autoencoder of `lipschitz_vae`, trained on public images alone."""

    latent: int = Field(default=16, ge=1, description="numbers of a code")
    width: int = Field(default=16, ge=4, multiple_of=4, description="channels of the largest map, doubled at a halving")
    likelihood: Literal["bernoulli", "logistic"] = Field(default="bernoulli", description="of a pixel, as in `dp_vae`")
    certified: bool = Field(
        default=False,
        description="an encoder of layers with bounded norms, whose certified constant gives a guarantee graded by "
        "distance besides; the price rests on the clip and is the same without, and free layers learn more",
    )
    blur: float = Field(
        default=0.1, gt=0, description="deviation of the noise on codes that the decoder learns from, in radii"
    )


class PosteriorSettings(_Settings):
    """How the private records are sampled. The deviation of the noise is solved from the budget."""

    places: int | None = Field(
        default=None,
        ge=1,
        description="places of each class, filled up where it has fewer records; the declared average by default. The "
        "price holds whatever the true counts are",
    )
    promised: bool = Field(
        default=False, description="the owner promises that each class has so many records, which is priced lower"
    )
    draws: int | None = Field(
        default=None, ge=1, description="noisy codes of each class; ten for each place by default"
    )
    temperature: float = Field(default=1.0, gt=0, description="factor on the deviation of codes when images are made")
