from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dpgen.data.info import Shape
from dpgen.errors import DataError
from dpgen.evaluation.extractor import PixelCosines, PublicFeatures, Setting
from dpgen.evaluation.pretrained import EfficientNetFeatures
from dpgen.evaluation.recipe import Recipe
from dpgen.networks.efficientnet_lite import EfficientNetLite0

WEIGHTS = os.environ.get("DPGEN_EFFICIENTNET_LITE0")
SETTING = Setting(shape=Shape(3, 32, 32), recipe=Recipe())


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        path = tmp_path_factory.mktemp("weights") / "lite0.safetensors"
        save_file({name: value.half() for name, value in EfficientNetLite0().state_dict().items()}, path)
    return path


def test_features_are_named_after_the_file(made_up: Path, tmp_path: Path) -> None:
    extractor = EfficientNetFeatures.build(replace(SETTING, weights=made_up))
    assert extractor.identity == f"efficientnet-lite0@{extractor.sha256[:8]}"
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    features = extractor(images)
    assert features.shape == (2, 1280)
    np.testing.assert_allclose(extractor.probabilities(features).sum(1), 1)
    np.testing.assert_allclose(features, extractor(images.expand(-1, 3, -1, -1)), atol=1e-6)


def test_parameters_are_those_of_the_published_network() -> None:
    assert sum(parameter.numel() for parameter in EfficientNetLite0().parameters()) == 4_652_008


@pytest.mark.parametrize("name", ["missing.npz", "text.npz", "other.safetensors", "pickled.pt", "weights.bin"])
def test_files_that_are_no_such_weights_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "text.npz":
        path.write_text("no archive")
    elif name == "other.safetensors":
        save_file({"weight": torch.zeros(2)}, path)
    elif name == "pickled.pt":
        torch.save({"weight": Setting}, path)  # a class: reading it would run code
    elif name == "weights.bin":
        path.write_bytes(b"x")
    with pytest.raises(DataError, match="expected"):
        EfficientNetFeatures.build(replace(SETTING, weights=path))


def test_each_extractor_says_what_it_lacks() -> None:
    with pytest.raises(DataError, match="needs a file of weights"):
        EfficientNetFeatures.build(SETTING)
    with pytest.raises(DataError, match="public set"):
        PublicFeatures.build(SETTING)
    assert PixelCosines.build(SETTING).probabilities(np.zeros((1, 3))) is None


@pytest.mark.skipif(WEIGHTS is None, reason="set DPGEN_EFFICIENTNET_LITE0 to the file of ImageNet weights")
def test_the_real_weights_give_the_recorded_probabilities() -> None:
    # Recorded from efficientnet-lite-pytorch 0.1.0 with the same fp16 weights; ours differed from it by exactly 0.
    extractor = EfficientNetFeatures.build(replace(SETTING, weights=Path(str(WEIGHTS))))
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)).round(decimals=2)
    features = extractor(images)
    np.testing.assert_allclose(features[:, :3], [[0.80125535, 0, 2.2697649], [0.7236588, 0, 2.26399493]], atol=1e-4)
    np.testing.assert_allclose(extractor.probabilities(features).max(1), [0.15396124, 0.14079796], atol=1e-4)
