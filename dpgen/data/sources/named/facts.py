"""What everybody knows of the benchmark's data sets: classes, counts, sizes, origin. No file is opened for it."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dpgen.data.info import Shape
from dpgen.data.sources.named.class_names import CIFAR100, TINY_IMAGENET


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A published data set. Its training part is known by `name`, its test part, if it has one, by `name`_test."""

    name: str
    title: str
    class_names: tuple[str, ...]
    records: int
    """Images of the training part."""
    test_records: int | None
    """Images of the test part; None where there is no labelled one."""
    shape: Shape | None
    """Of the published images; None where they differ in size."""
    origin: str
    """Who made it, and where it is explained."""


_DIGITS = tuple("0123456789")
_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_EUROSAT = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop"),
    *("Residential", "River", "SeaLake"),
)
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")

_GREY, _COLOUR = Shape(1, 28, 28), Shape(3, 32, 32)

_IMAGENET = tuple(f"imagenet class {number}" for number in range(1, 1001))
_PLACES = tuple(f"places365 class {number}" for number in range(365))

_ALL: Final = (
    NamedSet("mnist", "MNIST", _DIGITS, 60_000, 10_000, _GREY, "LeCun, Cortes, Burges: yann.lecun.com/exdb/mnist"),
    NamedSet("fashion_mnist", "Fashion-MNIST", _FASHION, 60_000, 10_000, _GREY, "Xiao et al. 2017, arXiv 1708.07747"),
    NamedSet(
        "cifar10", "CIFAR-10", _CIFAR10, 50_000, 10_000, _COLOUR, "Krizhevsky 2009: www.cs.toronto.edu/~kriz/cifar.html"
    ),
    NamedSet(
        "cifar100",
        "CIFAR-100, fine labels",
        CIFAR100,
        50_000,
        10_000,
        _COLOUR,
        "Krizhevsky 2009: www.cs.toronto.edu/~kriz/cifar.html",
    ),
    NamedSet(
        "eurosat",
        "EuroSAT, RGB",
        _EUROSAT,
        23_000,
        4_000,
        Shape(3, 64, 64),
        "Helber et al. 2019: github.com/phelber/EuroSAT",
    ),
    NamedSet(
        "celeba_male",
        "CelebA, attribute Male",
        ("female", "male"),
        162_770,
        19_962,
        Shape(3, 218, 178),
        "Liu et al. 2015: mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    ),
    NamedSet(
        "camelyon",
        "Camelyon17 of WILDS",
        ("normal", "tumor"),
        302_436,
        85_054,
        Shape(3, 96, 96),
        "Bandi et al. 2018; Koh et al. 2021: wilds.stanford.edu",
    ),
    NamedSet(
        "imagenet32",
        "ImageNet at 32 px",
        _IMAGENET,
        1_281_167,
        50_000,
        _COLOUR,
        "Chrabaszcz et al. 2017, arXiv 1707.08819; image-net.org",
    ),
    NamedSet(
        "tiny_imagenet",
        "Tiny ImageNet",
        TINY_IMAGENET,
        100_000,
        10_000,
        Shape(3, 64, 64),
        "Stanford CS231n; image-net.org",
    ),
    NamedSet(
        "places365", "Places365-Standard", _PLACES, 1_803_460, 36_500, None, "Zhou et al. 2017: places2.csail.mit.edu"
    ),
    NamedSet(
        "emnist_letters",
        "EMNIST letters",
        _LETTERS,
        124_800,
        20_800,
        _GREY,
        "Cohen et al. 2017, arXiv 1702.05373; nist.gov",
    ),
)

NAMED: Final = MappingProxyType({one.name: one for one in _ALL})
"""Every named set, by its name."""
