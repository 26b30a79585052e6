"""A classifier's logits and features of many images, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dpgen import validate
from dpgen.networks.classifier_base import Classifier
from dpgen.networks.efficientnet_lite import MiddleFeatures


def to_unit_range(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1]: uint8 is divided by 255, floats are passed on."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def predict(network: Classifier, images: Tensor, batch: int = 512) -> Tensor:
    """Logits `[n, classes]` float32 on the CPU, with batch norm and dropout fixed.

    Args: `images` uint8, or float in [0, 1], `[n, channels, height, width]`; `batch` images at a time.
    """
    return _map(network, network.forward, images, batch)


def extract_features(network: Classifier | MiddleFeatures, images: Tensor, batch: int = 512) -> Tensor:
    """Features `[n, feature_size]` float32 on the CPU; arguments as for `predict`."""
    return _map(network, network.features, images, batch)


def accuracy(network: Classifier, images: Tensor, labels: Tensor, batch: int = 512) -> float:
    """Share of images whose largest logit is at their label."""
    return float((predict(network, images, batch).argmax(1) == labels.cpu()).double().mean())


@torch.inference_mode()
def _map(network: nn.Module, function: Callable[[Tensor], Tensor], images: Tensor, batch: int) -> Tensor:
    validate.count(1, batch=batch, images=len(images))
    device, was_training = next(network.parameters()).device, network.training
    network.eval()
    rows = [function(to_unit_range(part.to(device))).cpu() for part in torch.split(images, batch)]
    network.train(was_training)
    return torch.cat(rows).clone()
