"""The canonical features of the FID, from the published file of weights that the user brings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import torch
from torch import Tensor

from dpgen.errors import DataError
from dpgen.evaluation.base import Features
from dpgen.evaluation.extractor import FeatureExtractor, Setting
from dpgen.evaluation.weights_file import read_weights
from dpgen.networks.inception import InceptionFid, load_inception_fid
from dpgen.networks.inference import to_unit_range

FILE: Final = "pt_inception-2015-12-05-6726825d.pth"
SHA256: Final = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the weights of TensorFlow's network of 2015-12-05 as ported to PyTorch: pytorch-fid and torch-fidelity both
publish this file, each under its own name."""

_BATCH = 32


@final
@dataclass(frozen=True)
class InceptionFeatures(FeatureExtractor):
    """The 2048 averaged features behind published FID, KID and Inception Score.

    Images are taken in 8 bits, as by torch-fidelity; a FID of few images stands above the published ones all the same.
    """

    network: InceptionFid
    sha256: str
    """Of the file, in hex."""
    device: torch.device

    name: ClassVar[str] = "inception_fid"
    needs: ClassVar[tuple[str, ...]] = ("weights",)

    @property
    def identity(self) -> str:
        """`inception-fid@` and the first eight digits of the file's SHA-256."""
        return f"inception-fid@{self.sha256[:8]}"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        """Features `[n, 2048]`; grey images are repeated over the three channels."""
        rows = [self._features(part.to(self.device)).cpu() for part in torch.split(images, _BATCH)]
        return torch.cat(rows).double().numpy()

    @torch.inference_mode()
    def probabilities(self, features: Features) -> Features:
        """Probabilities of the 1008 outputs of the graph, as in published Inception Scores."""
        scores = self.network.scores(torch.from_numpy(features).float().to(self.device))
        return scores.double().softmax(1).cpu().numpy()

    @classmethod
    def build(cls, setting: Setting) -> InceptionFeatures:
        """From `setting.weights`, the published file and no other. Raises: `DataError` before it is read."""
        if setting.weights is None:
            raise DataError(
                f"inception_fid needs a file of weights; found none. Download {FILE} from the release fid_weights of "
                "github.com/mseitzer/pytorch-fid, and give its path."
            )
        tensors, digest = read_weights(setting.weights, sha256=SHA256)
        return cls(load_inception_fid(tensors).to(setting.device), digest, setting.device)

    def _features(self, images: Tensor) -> Tensor:
        return self.network.features((255 * to_unit_range(images)).round())
