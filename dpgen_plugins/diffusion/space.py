"""Where a diffusion model works: in pixels, or in the codes of an autoencoder. Either way its values are in [-1, 1]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, final

from torch import Tensor, nn

from dpgen.data.info import Shape


class Space(nn.Module, ABC):
    """A public map from images to codes and back; it works on each image alone, so it costs no privacy.

    Its weights, if it has any, are public: never trained on private images.
    """

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Images `[n, channels, height, width]` in [0, 1] to codes `[n, *code_shape]` in [-1, 1]."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Codes to images in [0, 1]."""

    @abstractmethod
    def code_shape(self, image: Shape) -> tuple[int, int, int]:
        """Channels, height and width of the code of one image.

        Raises: `InvalidValue` for images that have no code.
        """


@final
class PixelSpace(Space):
    """The pixels themselves, from [0, 1] to [-1, 1]."""

    def encode(self, images: Tensor) -> Tensor:
        """See `Space.encode`."""
        return images * 2 - 1

    def decode(self, codes: Tensor) -> Tensor:
        """See `Space.decode`."""
        return ((codes + 1) / 2).clamp(0, 1)

    def code_shape(self, image: Shape) -> tuple[int, int, int]:
        """The image's own."""
        return image.channels, image.height, image.width


PIXELS: Final = PixelSpace()
