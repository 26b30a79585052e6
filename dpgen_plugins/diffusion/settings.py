"""The settings that the diffusion methods share. Every one changes utility or price, never the promise."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from dpgen.generators.training.settings import NOISE_MULTIPLIER, PretrainSettings, Settings, TrainingSettings
from dpgen.networks.classifiers import CLASSIFIERS


class NetworkSettings(Settings):
    """The U-Net; see `dpgen.networks.unet.UNet`."""

    base: int = Field(default=32, ge=4, multiple_of=4)
    multipliers: tuple[int, ...] = Field(default=(1, 2), min_length=1)
    blocks: int = Field(default=1, ge=1)
    attention: tuple[int, ...] = ()
    embedding: int = Field(default=2, ge=1)
    patch: int = Field(default=1, ge=1)
    kind: Literal["unet", "diffusers"] = Field(
        default="unet", description="our own U-Net, or UNet2DModel of the library diffusers in the same sizes"
    )
    diffusers: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of UNet2DModel, for kind = diffusers"
    )

    @model_validator(mode="after")
    def _arguments_of_diffusers(self) -> Self:
        if self.diffusers and self.kind != "diffusers":
            raise ValueError('network.diffusers are arguments of UNet2DModel: they need network.kind = "diffusers"')
        return self


class NoiseLevelSettings(Settings):
    """ln(noise level) in training is normal with this mean and deviation."""

    mean: float = -0.6
    deviation: float = Field(default=1.2, gt=0)


class LabelSettings(Settings):
    """What the labels of the public set are used for, when all of it is pretrained on. Public choices, all free."""

    conditional: bool = Field(default=True, description="pretrain with the public classes as labels; else as one class")
    start: Literal["first", "names", "mean"] = Field(
        default="first",
        description="embedding that each private class starts from: the public class of the same index; the public "
        "class of the same name (the mean of all where there is none); or the mean, from where few noisy steps do not "
        "tell the classes apart",
    )


class AutoencoderSettings(PretrainSettings):
    """The autoencoder of a latent space and its training on public images."""

    steps: int = Field(default=1500, ge=1)
    batch: int = Field(default=64, ge=1)
    codes: int = Field(default=4, ge=1, description="channels of a code")
    halvings: int = Field(default=1, ge=1, description="times that the side of a code is half of the image's")
    width: int = Field(default=32, ge=4, multiple_of=4)
    noise: float = Field(
        default=0.1, ge=0, description="deviation of the noise on codes that the decoder learns to undo"
    )


class AdapterSettings(Settings):
    """Low-rank adapters: a layer's weight W becomes W + (alpha / rank) B A."""

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=8.0, gt=0)
    targets: tuple[str, ...] = Field(
        default=("*.attention", "*.modulation", "embed1", "embed2"),
        min_length=1,
        description="patterns of the names of layers, or of parts that hold them; '*' is every Linear and Conv2d",
    )


class SamplerSettings(Settings):
    """How images are drawn. `churn` > 0 makes Heun stochastic."""

    method: Literal["heun", "ddim"] = "heun"
    steps: int = Field(default=18, ge=2)
    lowest: float = Field(default=0.01, gt=0)
    highest: float = Field(default=20.0, gt=0)
    rho: float = Field(default=5.0, gt=0)
    churn: float = Field(default=0.0, ge=0)
    churn_lowest: float = Field(default=0.05, ge=0)
    """noise level below which nothing is added back"""
    batch: int = Field(default=500, ge=1)


class QuerySettings(Settings):
    """The semantic query: each private image votes for the public classes it resembles most."""

    scope: Literal["class", "all"] = Field(
        default="class",
        description="class: each private class takes the public classes that its own images vote for, and they are "
        "pretrained on under its label; all: one row of votes for all images, and public labels in pretraining",
    )
    votes: int = Field(default=3, ge=1, description="public classes that one image votes for (top-k)")
    budget_share: float = Field(
        default=0.05, gt=0, lt=1, description="epsilon of the query alone, as a share of the run's epsilon"
    )
    noise_multiplier: float | None = NOISE_MULTIPLIER
    classes_per_class: int = Field(default=1, ge=1, description="public classes taken for each private class")
    ratio: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of all public classes that the private ones take together, instead of `classes_per_class`",
    )
    network: str = Field(
        default="cnn",
        description="tells public classes apart: cnn, resnet, wide_resnet or resnext, trained on the public set; or a "
        "registered feature extractor, with a head trained on it",
    )
    weights: str | None = Field(default=None, description="file of weights for an extractor that needs one")
    head: Literal["linear", "class_mean"] = Field(
        default="linear", description="on an extractor's features: softmax regression, or the nearest mean of a class"
    )
    head_images: int = Field(default=20000, ge=1, description="public images, over all classes, that the head learns")
    classifier_width: int = Field(default=32, ge=4)
    classifier_steps: int = Field(default=700, ge=1, description="of the classifier, or of a linear head")
    classifier_batch: int = Field(default=128, ge=1, description="public images of a step of the classifier")
    jitter: float = Field(default=1.0, ge=0, description="strength of the random deformation of its training images")

    @model_validator(mode="after")
    def _weights_of_an_extractor(self) -> Self:
        if self.weights is not None and self.network in CLASSIFIERS:
            raise ValueError(f"query.weights belong to a feature extractor; {self.network!r} is trained here")
        return self


class CentralImageSettings(Settings):
    """The central images of DP-FETA: noisy mean or mode images of each class, over random samples of the records."""

    kind: Literal["mean", "mode"] = "mean"
    rounds: int = Field(default=5, ge=1, description="samples drawn; each gives one image of each class")
    expected_batch: float = Field(default=6000, gt=0, description="expected size of a sample")
    budget_share: float = Field(
        default=0.1, gt=0, lt=1, description="epsilon of the central images alone, as a share of the run's epsilon"
    )
    noise_multiplier: float | None = NOISE_MULTIPLIER
    factor: int = Field(
        default=2, ge=1, description="side of the pixel cells that are averaged into one before the sum"
    )
    origin: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="mean: grey value that pixels are measured from; 0.5 for photographs",
    )
    brightness: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="mean: root mean square distance from `origin` beyond which an image is clipped",
    )
    bins: int = Field(default=2, ge=2, description="mode: grey values that are told apart")
    finish: bool = Field(
        default=True, description="smooth the images by a 3 x 3 median, and sharpen grey ones, as published"
    )


class WarmUpSettings(TrainingSettings):
    """Ordinary training on the central images. `jitter` is the strength of their random variation."""

    steps: int = Field(default=2000, ge=1)
    batch: int = Field(default=64, ge=1)
    jitter: float = Field(default=1.0, ge=0, description="strength of the random variation of the central images")


class FrequencySettings(Settings):
    """FETA-Pro's auxiliary: noisy random Fourier features of each class, and the generator trained to match them."""

    features: int = Field(default=4000, ge=2, multiple_of=2, description="random Fourier features of an image")
    bandwidth: float = Field(
        default=10.25, gt=0, description="of the Gaussian kernel, in Euclidean distance of [0, 1] pixels"
    )
    budget_share: float = Field(
        default=0.15, gt=0, lt=1, description="epsilon of the noisy features alone, as a share of the run's epsilon"
    )
    noise_multiplier: float | None = NOISE_MULTIPLIER
    width: int = Field(default=16, ge=1, description="channels of the auxiliary generator's last hidden layer")
    latent: int = Field(default=10, ge=1, description="random inputs of the auxiliary generator")
    steps: int = Field(default=1500, ge=1, description="of its training")
    batch: int = Field(default=100, ge=1)
    learning_rate: float = Field(default=1e-2, gt=0)
    samples: int = Field(default=10000, ge=1, description="images that it gives to the second warm-up")
