"""The classifiers of an evaluation by name, in the sizes that fit the images."""

from __future__ import annotations

from typing import Final

import torch

from dpgen.data.info import Shape
from dpgen.errors import UnknownName
from dpgen.networks.classifier import ImageClassifier
from dpgen.networks.classifier_base import Classifier
from dpgen.networks.residual import resnet, resnext, wide_resnet

CLASSIFIERS: Final = ("cnn", "resnet", "wide_resnet", "resnext")
"""`cnn` is the fast one for a CPU; the others are those of DPImageBench and want a GPU."""


def build_classifier(name: str, shape: Shape, classes: int, *, width: int, generator: torch.Generator) -> Classifier:
    """The classifier `name` of `CLASSIFIERS` with fresh public weights; `width` is that of `cnn`.

    For colour images ResNet-164, WRN-28-10 and ResNeXt-29 (8 x 10), for grey ones ResNet-110, WRN-40-4 and ResNeXt-29
    (8 x 4), as DPImageBench chooses for CIFAR and for the others (evaluation/evaluator.py; it writes 28 layers for the
    first ResNeXt, which has no whole number of blocks). Its training differs: SGD or Adam for 50 to 200 epochs, where
    dpgen's recipe trains all by AdamW with augmentation. Raises: `UnknownName`.
    """
    colour = shape.channels == 3
    if name == "cnn":
        return ImageClassifier(shape.channels, classes, width, generator=generator)
    if name == "resnet":
        return resnet(shape.channels, classes, depth=164 if colour else 110, generator=generator)
    if name == "wide_resnet":
        depth, widen = (28, 10) if colour else (40, 4)
        return wide_resnet(shape.channels, classes, depth=depth, widen=widen, generator=generator)
    if name == "resnext":
        return resnext(shape.channels, classes, depth=29, widen=10 if colour else 4, generator=generator)
    raise UnknownName("classifier", name, CLASSIFIERS)
