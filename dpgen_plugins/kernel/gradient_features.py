"""The gradient of a fixed random network at an image, as its features: the finite form of a neural tangent kernel."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import grad, vmap

from dpgen import validate

TINY: Final = 1e-12
"""Least length that a gradient is divided by: one of 0 stays 0."""

Weights = dict[str, Tensor]


@final
class GradientFeatures(nn.Module):
    """phi(x) = g(x) / |g(x)|, g(x) the gradient of the sum of outputs at image x with respect to all weights.

    The network: linear layers with ReLU between them, and a normalisation without weights of the last hidden layer.
    It is never trained. phi(x) comes from x alone and has L2 norm 1, so a sum over records is bounded by construction.

    Args: `inputs` numbers of an image; `hidden` widths, one at least; `outputs`; `generator` of the weights, public.
    Source: Yang et al. 2023 (arXiv 2303.01687), section 3; Jacot, Gabriel, Hongler 2018 (arXiv 1806.07572).
    """

    def __init__(self, inputs: int, hidden: Sequence[int], *, outputs: int, generator: torch.Generator) -> None:
        validate.count(1, inputs=inputs, outputs=outputs, hidden_layers=len(hidden))
        for width in hidden:
            validate.count(1, hidden=width)
        super().__init__()
        sizes = (inputs, *hidden, outputs)
        self._layers = len(sizes) - 1
        for layer, (into, out) in enumerate(itertools.pairwise(sizes)):
            weight = torch.randn(out, into, generator=generator) * math.sqrt(2 / into)  # He et al. 2015, eq. 10
            self.register_buffer(f"weight{layer}", weight)
            self.register_buffer(f"bias{layer}", torch.zeros(out))
        self._gradients = vmap(grad(self._summed_outputs), in_dims=(None, 0))

    def forward(self, images: Tensor) -> Tensor:
        """`[n, weights]` of norm 1; differentiable in the images."""
        gradients: Weights = self._gradients(dict(self.named_buffers()), images.flatten(1))
        rows = torch.cat([gradient.flatten(1) for gradient in gradients.values()], 1)
        lengths: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        return rows / lengths.clamp(min=TINY)

    def _summed_outputs(self, weights: Weights, image: Tensor) -> Tensor:
        values = image
        for layer in range(self._layers):
            if layer:
                values = F.relu(values)
            if layer == self._layers - 1:
                values = F.layer_norm(values, values.shape)
            values = F.linear(values, weights[f"weight{layer}"], weights[f"bias{layer}"])
        return values.sum()
