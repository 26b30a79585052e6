"""From small noisy images to training images: enlarge, smooth, sharpen. Post-processing, free."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dpgen.data.info import Shape


def finished(small: Tensor, shape: Shape, *, as_published: bool) -> Tensor:
    """Images `[n, channels, h, w]` in [0, 1] enlarged bilinearly to `shape`; then a median, grey ones sharpened too.

    Source: the published code of DP-FETA (a 3 x 3 median filter, and the kernel 5 and four times -1 on grey images).
    """
    images = F.interpolate(small, size=(shape.height, shape.width), mode="bilinear", align_corners=False)
    if not as_published:
        return images
    images = _median(images)
    return _sharpened(images) if shape.channels == 1 else images


def _median(images: Tensor) -> Tensor:
    n, channels, height, width = images.shape
    around = F.unfold(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3)
    return around.reshape(n, channels, 9, height, width).median(2).values


def _sharpened(images: Tensor) -> Tensor:
    kernel = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]])[None, None]
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")  # as OpenCV's filter2D
    return F.conv2d(padded, kernel).clamp(0, 1)
