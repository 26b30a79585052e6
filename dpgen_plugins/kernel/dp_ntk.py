"""DP-NTK: one noisy sum of a random network's gradients for each class, and a generator trained to have them."""

from __future__ import annotations

import math
from typing import ClassVar, final

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.generators.base import Tags
from dpgen.mechanisms.context import RunContext
from dpgen_plugins.kernel.gradient_features import GradientFeatures
from dpgen_plugins.kernel.matched import MatchedGenerator
from dpgen_plugins.kernel.settings import MatchedConfig


class TangentSettings(BaseModel):
    """The random network whose gradients are the features."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    hidden: tuple[int, ...] = Field(default=(100,), min_length=1)
    """widths of its hidden layers; published: [800] for 28 x 28 grey images, [32, 256] for colour"""


class DpNtkConfig(MatchedConfig):
    """Settings of DP-NTK."""

    tangent: TangentSettings = Field(default_factory=TangentSettings)


@final
class DpNtk(MatchedGenerator):
    """The gradient of a fixed random network at each image, of length 1, summed once with noise; a generator matched.

    Privacy: one charge, "mean-embedding" (`Gaussian`). A record adds one vector of length 1, its class's count
    included: L2 sensitivity 1 under add-or-remove-one, 2 under replace-one; the plan says which, and prices it. Every
    record is in the sum (published: the first 5000 alone). Public: the network's weights, drawn from the run's public
    seed and never trained; pretraining; the declared number of records, which alone divides. The network has as many
    outputs as there are private classes: public ones never lengthen the vector.
    Source: Yang et al. 2023 (arXiv 2303.01687). Differences: see docs/reference/methods.md.
    """

    name: ClassVar[str] = "dp_ntk"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[MatchedConfig]] = DpNtkConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Yang, Adamczewski, Sutherland, Li, Park: Differentially Private Neural Tangent Kernels for "
        "Privacy-Preserving Data Generation. Preprint 2023. arXiv 2303.01687",
    )

    config: DpNtkConfig

    def _features(self, info: DatasetInfo, public: PublicDataset | None, context: RunContext) -> nn.Module:
        return GradientFeatures(
            math.prod(info.shape),
            self.config.tangent.hidden,
            outputs=info.classes,
            generator=context.generator("random network of the tangent kernel"),
        )

    def _needs_public(self) -> None:
        return None
