"""The images that evolve, and what a round makes of them and its noisy votes. Post-processing, free."""

from __future__ import annotations

import torch
from torch import Tensor

from dpgen.data.writing import eight_bit
from dpgen.errors import DataError
from dpgen.generators.image_api import ImageApi


def first_population(
    api: ImageApi, shape: tuple[int, int, int], names: tuple[str | None, ...], *, size: int, generator: torch.Generator
) -> Tensor:
    """`size` random images for each class, uint8 `[classes, size, channels, height, width]`.

    Args: `names` of the classes to ask for, each None where any images will do.
    """
    parts = [api.random(size, class_name=name, generator=generator) for name in names]
    return torch.stack([checked(part, (size, *shape), operation="random") for part in parts])


def varied(images: Tensor, api: ImageApi, *, degree: float, generator: torch.Generator) -> Tensor:
    """One variation of each image, uint8 `[n, channels, height, width]`, from uint8."""
    made = api.vary(images.float() / 255, degree=degree, generator=generator)
    return checked(made, tuple(images.shape), operation="vary")


def survivors(population: Tensor, counts: Tensor, *, threshold: float, generator: torch.Generator) -> Tensor:
    """As many images of each class, drawn in proportion to what their counts exceed `threshold` by.

    Args: `population` uint8 `[classes, size, ...]`; `counts` noisy, int64 `[classes * size]`. A class in which no
    count exceeds the threshold is drawn evenly: no vote is known of it.
    """
    classes, size = population.shape[:2]
    weights = (counts.reshape(classes, size).double() - threshold).clamp(min=0)
    weights[weights.sum(1) == 0] = 1.0
    rows = torch.multinomial(weights, size, replacement=True, generator=generator)
    return torch.stack([members[chosen] for members, chosen in zip(population, rows, strict=True)])


def checked(images: Tensor, shape: tuple[int, ...], *, operation: str) -> Tensor:
    """The images that an API gave, as uint8. Raises: `DataError` for another shape, or numbers outside [0, 1]."""
    if tuple(images.shape) != shape or not images.is_floating_point():
        raise DataError(
            f"`{operation}` of an image API must return float images {list(shape)}; found {images.dtype} "
            f"{list(images.shape)}. Let it keep to the shape of the data."
        )
    if not bool(((images >= 0) & (images <= 1)).all()):
        raise DataError(f"`{operation}` of an image API must return values in [0, 1]; found others. Clamp them.")
    return eight_bit(images.cpu())
