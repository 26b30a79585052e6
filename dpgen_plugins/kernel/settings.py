"""The settings that the kernel methods share. Every one changes utility, never the promise."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dpgen.generators.base import GeneratorConfig


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ImageGeneratorSettings(_Settings):
    """The generator of images; see `dpgen.networks.image_generator.ImageGenerator`."""

    width: int = Field(default=16, ge=1)
    """channels of its last hidden layer, doubled at each smaller one"""
    latent: int = Field(default=10, ge=1)
    """random inputs"""


class MatchingSettings(_Settings):
    """Training the generator until its images have the released features: Adam, five decays to 0.9 of the rate."""

    steps: int = Field(default=2000, ge=1)
    batch: int = Field(default=200, ge=1)
    """images of a step, dealt evenly to the classes; two of each at least"""
    learning_rate: float = Field(default=1e-2, gt=0)


class PublicMatchingSettings(MatchingSettings):
    """The same on the features of public images, before; free of noise and of privacy cost."""

    steps: int = Field(default=0, ge=0)
    """0 for none; more needs a public set"""
    labels: Literal["first", "names", "all"] = "first"
    """what a private class starts from: the public classes of its index, counted round; that of its name, or all where
    there is none; all public images"""


class PublicNetworkSettings(_Settings):
    """The network that gives the deep features: a classifier trained on the public set, or one from a file.

    Public, so free. From a file it is EfficientNet-Lite0 trained on ImageNet, of which the middle is used.
    """

    steps: int = Field(default=700, ge=1)
    width: int = Field(default=24, ge=1)
    jitter: float = Field(default=1.0, ge=0)
    """strength of the random deformation of its training images"""
    weights: str | None = None
    """file of weights of EfficientNet-Lite0; nothing is trained then, and the settings above have no effect"""
    side: int = Field(default=32, ge=8, le=512)
    """weights: pixels that images are resized to; features cost its square"""
    depth: int = Field(default=11, ge=1, le=16)
    """weights: how many of the 16 blocks"""
    grid: int = Field(default=2, ge=1, le=8)
    """weights: cells a side within which maps are averaged"""


class FourierSettings(_Settings):
    """A kernel on images, as random Fourier features."""

    space: Literal["pixels", "deep", "both"] = "pixels"
    """what the kernel compares: pixels, as published; features of a public network; or both"""
    features: int = Field(default=10000, ge=2, multiple_of=2)
    """random Fourier features of an image, shared out among the bandwidths"""
    bandwidths: tuple[float, ...] = Field(default=(10.25,), min_length=1)
    """of the Gaussian kernels on pixels, in Euclidean distance of [0, 1] values; several are averaged"""
    deep_bandwidths: tuple[float, ...] = Field(default=(1.0,), min_length=1)
    """of those on deep features, in median distances between public images"""
    deep_share: float = Field(default=0.5, gt=0, lt=1)
    """both: weight of the deep kernels in the whole"""


class MatchedConfig(GeneratorConfig):
    """What the settings of all methods have that match one released embedding."""

    network: ImageGeneratorSettings = Field(default_factory=ImageGeneratorSettings)
    count_weight: float = Field(default=0.2, gt=0, lt=1)
    """length of the coordinate that counts a class's records, in a vector of length 1"""
    pretrain: PublicMatchingSettings = Field(default_factory=PublicMatchingSettings)
    matching: MatchingSettings = Field(default_factory=MatchingSettings)
