"""Our Inception network against torch-fidelity's: the same names and shapes, and the same numbers for equal weights.

The weights are made up, so this proves the graph, the resize and the scaling, not the published file; that one is known
by its SHA-256. Agreement asked for: 1e-4 relative, in float32; found where it was recorded: 3e-7.
"""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dpgen.data.info import Shape
from dpgen.errors import DataError
from dpgen.evaluation import inception as extractors
from dpgen.evaluation.extractor import Setting
from dpgen.evaluation.inception import FILE, SHA256, InceptionFeatures
from dpgen.evaluation.recipe import Recipe
from dpgen.networks import inception
from dpgen.networks.inception import InceptionFid, load_inception_fid

HERE = Path(__file__).parent
VALUES = json.loads((HERE / "inception_reference.json").read_text())["values"]
SETTING = Setting(shape=Shape(3, 32, 32), recipe=Recipe())
PUBLISHED = os.environ.get("DPGEN_INCEPTION_FID")


@pytest.fixture(scope="module")
def recorder() -> Any:
    """The very functions that made the weights and images of the record."""
    import sys

    sys.path.insert(0, str(HERE))
    try:
        spec = importlib.util.spec_from_file_location(
            "record_inception_reference", HERE / "record_inception_reference.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(HERE))
    return module


@pytest.fixture(scope="module")
def weights(recorder: Any) -> dict[str, Tensor]:
    made: dict[str, Tensor] = recorder.weights(shapes())
    return made


def shapes() -> dict[str, list[int]]:
    with torch.device("meta"):
        return {name: list(value.shape) for name, value in InceptionFid().state_dict().items()}


def agree(network: InceptionFid, recorder: Any, size: tuple[int, int]) -> bool:
    recorded = VALUES["images"][f"{size[0]}x{size[1]}"]
    with torch.inference_mode():
        features = network.features(recorder.images(size))
        scores = network.scores(features)
    found = [*features[0, list(recorder.COLUMNS)].tolist(), float(features.mean()), *scores[0, :16].tolist()]
    expected = [*recorded["features"], recorded["mean"], *recorded["scores"]]
    return bool(np.allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()))


def test_names_and_shapes_are_those_of_the_published_state_dict(recorder: Any) -> None:
    found = shapes()
    assert len(found) == VALUES["entries"] == 566
    assert recorder.names_digest(found) == VALUES["names_digest"]


def test_equal_weights_give_equal_features_and_scores(recorder: Any, weights: dict[str, Tensor]) -> None:
    network = load_inception_fid(weights)
    assert all(agree(network, recorder, size) for size in recorder.SIZES)


def padded_average(maps: Tensor, kernel: int, **options: Any) -> Tensor:
    options.pop("count_include_pad")
    return averaged(maps, kernel, **options)


averaged = functional.avg_pool2d


@pytest.mark.parametrize("twin", ["padding counts", "average at the end", "half-pixel centres"])
def test_each_difference_from_other_inceptions_shows(
    twin: str, recorder: Any, weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load_inception_fid(weights)
    if twin == "padding counts":
        monkeypatch.setattr(functional, "avg_pool2d", padded_average)
    elif twin == "average at the end":
        network.get_submodule("Mixed_7c")._kind = "average"  # type: ignore[assignment]
    else:
        monkeypatch.setattr(
            inception,
            "resize_like_tensorflow",
            lambda images, side: functional.interpolate(images, (side, side), mode="bilinear", align_corners=False),
        )
    assert not agree(network, recorder, recorder.SIZES[0])


def test_the_extractor_takes_the_published_file_alone(
    weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / FILE
    with pytest.raises(DataError, match=f"inception_fid needs a file of weights.*{FILE}"):
        InceptionFeatures.build(SETTING)
    torch.save(weights, path)
    with pytest.raises(DataError, match=SHA256):
        InceptionFeatures.build(replace(SETTING, weights=path))
    monkeypatch.setattr(extractors, "SHA256", extractors.read_weights(path)[1])
    extractor = InceptionFeatures.build(replace(SETTING, weights=path))
    assert extractor.identity == f"inception-fid@{extractor.sha256[:8]}"
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    features = extractor(images)
    assert features.shape == (2, 2048)
    np.testing.assert_allclose(extractor.probabilities(features).sum(1), 1)
    in_bytes = (255 * images).round().to(torch.uint8).expand(-1, 3, -1, -1)
    np.testing.assert_allclose(features, extractor(in_bytes), rtol=1e-4, atol=1e-4)


def test_another_network_under_the_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / FILE
    torch.save({"weight": torch.zeros(2)}, path)
    monkeypatch.setattr(extractors, "SHA256", extractors.read_weights(path)[1])
    with pytest.raises(RuntimeError):
        InceptionFeatures.build(replace(SETTING, weights=path))


@pytest.mark.skipif(PUBLISHED is None, reason=f"set DPGEN_INCEPTION_FID to the file {FILE}")
def test_the_published_file_loads() -> None:
    extractor = InceptionFeatures.build(replace(SETTING, weights=Path(str(PUBLISHED))))
    assert extractor.identity == "inception-fid@6726825d"
    assert extractor(torch.zeros(1, 3, 32, 32)).shape == (1, 2048)
