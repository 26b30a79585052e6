"""Who votes in PrivImage's query: classifiers trained here, heads on others' features, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pytest
import torch
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import InvalidValue, SensitivityError, UnknownName
from dpgen.evaluation.extractor import FeatureExtractor, PixelCosines, Setting
from dpgen.mechanisms import RunContext
from dpgen.report.findings import read_findings
from dpgen_plugins.diffusion.query_head import fit_head
from dpgen_plugins.diffusion.query_network import (
    HeadOnFeatures,
    publish_identity,
    query_network,
    require_images_alone,
    require_query_network,
)
from dpgen_plugins.diffusion.semantic_query import noise_note, query_part, taken_per_row
from dpgen_plugins.diffusion.settings import QuerySettings

NAMES = ("dark", "light", "left", "right", "never shown")
INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b"), nominal_records=40)


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Four classes that a few cosines tell apart; the fifth has no image."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    images = torch.zeros(count, 1, 8, 8)
    images[labels == 1] = 0.8
    images[labels == 2, :, :, :4] = 0.8
    images[labels == 3, :, :, 4:] = 0.8
    images += 0.15 * torch.randn(images.shape, generator=draws)
    return (255 * images.clamp(0, 1)).to(torch.uint8), labels


PUBLIC = PublicDataset("toy", *pictures(80, seed=1), NAMES)


def share_found(settings: QuerySettings) -> float:
    network = query_network(PUBLIC, settings, RunContext())
    images, labels = pictures(200, seed=2)
    return float((network.scores(images.float() / 255).argmax(1) == labels).float().mean())


@pytest.mark.parametrize("head", ["linear", "class_mean"])
def test_a_head_on_frozen_features_tells_the_public_classes_apart(head: str) -> None:
    settings = QuerySettings(network="pixel_cosines", head=head, classifier_steps=60, jitter=0)
    assert share_found(settings) > 0.95


def test_an_own_network_tells_the_public_classes_apart() -> None:
    assert share_found(QuerySettings(classifier_steps=40, classifier_width=8, jitter=0)) > 0.95


def test_a_public_class_without_an_image_gets_no_vote() -> None:
    features = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    for kind in ("linear", "class_mean"):
        generator = torch.Generator().manual_seed(0)
        head = fit_head(features, torch.arange(30) % 2, classes=3, kind=kind, steps=3, generator=generator)
        network = HeadOnFeatures(PixelCosines(Shape(1, 2, 3)), head)
        assert network.scores(torch.rand(9, 1, 2, 3)).argmax(1).max() < 2


def test_the_nearest_mean_is_the_nearest_one() -> None:
    draws = torch.Generator().manual_seed(0)
    features, labels = torch.randn(40, 5, generator=draws), torch.arange(40) % 4
    head = fit_head(features, labels, classes=4, kind="class_mean", steps=1, generator=draws)
    standard = (features - head["mean"]) / head["deviation"]
    means = torch.stack([standard[labels == c].mean(0) for c in range(4)])
    assert torch.equal((standard @ head["weight"].T + head["bias"]).argmax(1), torch.cdist(standard, means).argmin(1))


def test_a_rare_public_class_counts_as_much_as_a_common_one() -> None:
    """The head learns from as many images of each class, not from as many as there happen to be."""
    images, labels = pictures(80, seed=1)
    rows = torch.cat([torch.arange(80)] + [torch.nonzero(labels == 0).flatten()] * 20)
    heavy = PublicDataset("heavy", images[rows], labels[rows], NAMES)
    settings = QuerySettings(network="pixel_cosines", head="class_mean", head_images=80, jitter=0)
    network = query_network(heavy, settings, RunContext())
    assert isinstance(network, HeadOnFeatures)
    shown = PixelCosines(Shape(1, 8, 8))(torch.stack([images[labels == c].float().mean(0) / 255 for c in range(4)]))
    assert torch.allclose(network.head["mean"], torch.from_numpy(shown).float().mean(0), atol=0.01)


def test_the_identity_follows_the_weights() -> None:
    settings = QuerySettings(network="pixel_cosines", classifier_steps=2, jitter=0)
    same = {query_network(PUBLIC, settings, RunContext()).identity for _ in range(2)}
    other = query_network(PUBLIC, settings.model_copy(update={"classifier_steps": 3}), RunContext()).identity
    assert len(same) == 1
    assert other not in same
    assert other.startswith("pixel-cosines-8x8 with a head@")


@dataclass(frozen=True)
class BatchStatistics(FeatureExtractor):
    """The broken twin: the features of an image depend on the mean of those beside it."""

    name: ClassVar[str] = "batch_statistics"

    @property
    def identity(self) -> str:
        return "batch-statistics"

    def __call__(self, images: Tensor) -> np.ndarray:
        pixels = images.flatten(1)
        return (pixels - pixels.mean(0)).double().numpy()

    def probabilities(self, features: object) -> None:
        return

    @classmethod
    def build(cls, setting: Setting) -> Self:
        return cls()


def head_of(extractor: FeatureExtractor) -> HeadOnFeatures:
    features = torch.from_numpy(extractor(PUBLIC.images.float() / 255)).float()
    generator = torch.Generator().manual_seed(0)
    head = fit_head(features, PUBLIC.labels, classes=5, kind="class_mean", steps=1, generator=generator)
    return HeadOnFeatures(extractor, head)


def test_a_network_that_mixes_images_is_refused() -> None:
    require_images_alone(head_of(PixelCosines(Shape(1, 8, 8))), PUBLIC)
    with pytest.raises(SensitivityError, match="alone"):
        require_images_alone(head_of(BatchStatistics()), PUBLIC)


def test_what_is_missing_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(UnknownName, match="efficientnet_lite0"):
        require_query_network(QuerySettings(network="efficientnet_lite"))
    with pytest.raises(InvalidValue, match=r"query\.weights"):
        require_query_network(QuerySettings(network="efficientnet_lite0", weights="nowhere.safetensors"))
    with pytest.raises(ValueError, match=r"query\.weights"):
        QuerySettings(network="resnet", weights="some.safetensors")


def test_the_published_ratio() -> None:
    """DPImageBench, 1000 public classes: 0.05 gives 5 to each of 10 classes and 25 to each of 2; 0.1 gives 1 of 100."""
    for classes, ratio, taken in ((10, 0.05, 5), (2, 0.05, 25), (100, 0.1, 1)):
        info = DatasetInfo(shape=Shape(1, 8, 8), class_names=tuple(map(str, range(classes))), nominal_records=40)
        assert taken_per_row(QuerySettings(ratio=ratio), info, 1000) == taken
    assert taken_per_row(QuerySettings(ratio=0.05, scope="all"), INFO, 1000) == 50
    assert taken_per_row(QuerySettings(classes_per_class=3, scope="all"), INFO, 1000) == 6
    with pytest.raises(InvalidValue, match=r"query\.ratio"):
        taken_per_row(QuerySettings(ratio=0.01), INFO, 100)


def test_a_stated_noise_multiplier_is_one_of_the_sensitivity() -> None:
    part = query_part(QuerySettings(votes=4, noise_multiplier=50.0), relation="add_or_remove_one")
    assert (part.share, part.value) == (None, 100.0)  # four votes: one record moves the counts by 2 in L2
    assert query_part(QuerySettings(budget_share=0.2), relation="add_or_remove_one").share == 0.2


def test_the_network_that_was_asked_is_named_in_the_release(tmp_path: Path) -> None:
    publish_identity("cnn@0123", RunContext(published=tmp_path))
    assert json.loads((tmp_path / "query_network.json").read_text()) == {"query_network": {"identity": "cnn@0123"}}
    (finding,) = read_findings(tmp_path)
    assert finding.rows == (("identity", "cnn@0123"),)


def test_a_plan_says_how_noisy_the_votes_are() -> None:
    found = noise_note(QuerySettings(votes=3), INFO, 12.5)
    assert "3 votes of each of 20 images of an average class" in found
    assert "noise of deviation 12.5" in found
    assert "each of 40 images of all classes" in noise_note(QuerySettings(scope="all"), INFO, 12.5)
