"""Deep features of the kernel methods from a file of ImageNet weights, here made-up ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dpgen.accountants.gdp import GdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import DataError, InvalidValue
from dpgen.generators import PublicInfo, Task
from dpgen.mechanisms import RunContext
from dpgen.networks.efficientnet_lite import EfficientNetLite0, MiddleFeatures
from dpgen_plugins.kernel.dp_kernel import DpKernel
from dpgen_plugins.kernel.dp_merf import DpMerf
from dpgen_plugins.kernel.settings import PublicNetworkSettings
from dpgen_plugins.kernel.spaces import deep_space


def images(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "lite0.safetensors"
    save_file({name: value.half() for name, value in network().state_dict().items()}, path)
    return path


def network() -> EfficientNetLite0:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return EfficientNetLite0().eval()


def public() -> PublicDataset:
    return PublicDataset("toy", (255 * images(20, seed=2)).to(torch.uint8), torch.arange(20) % 2, ("a", "b"))


@pytest.mark.parametrize("depth", [1, 8])
@pytest.mark.parametrize("grid", [1, 2])
def test_middle_features_have_the_size_that_they_say(depth: int, grid: int) -> None:
    middle = MiddleFeatures(network(), depth=depth, grid=grid, side=16)
    rows = middle.features(images(3))
    assert rows.shape == (3, middle.feature_size)
    torch.testing.assert_close(middle.features(images(3)[:1]), rows[:1], atol=1e-4, rtol=1e-3)  # each image alone


def test_the_space_is_differentiable_in_the_images(weights: Path) -> None:
    space = deep_space(public(), PublicNetworkSettings(weights=str(weights), side=16, depth=3), RunContext())
    shown = images(2).requires_grad_()
    torch.autograd.backward(space(shown).square().sum())
    assert shown.grad is not None
    assert float(shown.grad.abs().sum()) > 0
    assert all(not parameter.requires_grad for parameter in space.parameters())


def test_a_row_is_its_image_s_own(weights: Path) -> None:
    """The sum's sensitivity rests on it. Broken twin: batch norms by the statistics of the batch."""
    space = deep_space(public(), PublicNetworkSettings(weights=str(weights), side=16, depth=3), RunContext())
    alone, among = space(images(1)), space(images(4))[:1]
    torch.testing.assert_close(alone, among, atol=1e-4, rtol=1e-3)
    space.network.train()  # nothing is left that could mix the rows
    torch.testing.assert_close(space(images(1)), alone)
    broken = network().train()
    alone, among = (broken.maps(images(count), side=16, depth=3)[:1] for count in (1, 4))
    assert not torch.allclose(alone, among, atol=1e-2)


def test_folded_batch_norms_change_no_feature() -> None:
    plain = network()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        plain.train()(images(8))  # so that its batch norms have something to say
    plain.eval()
    folded = MiddleFeatures(plain, depth=8, grid=1, side=32).features(images(3))
    expected = plain.maps(images(3), side=32, depth=8).mean((2, 3))
    torch.testing.assert_close(folded, expected, atol=1e-4, rtol=1e-3)
    assert "_bn0.weight" in plain.state_dict()  # the network that was given stays as it was


def test_a_resumed_run_keeps_the_weights_that_it_began_with(weights: Path) -> None:
    context, settings = RunContext(), PublicNetworkSettings(weights=str(weights), side=16, depth=3)
    first = deep_space(public(), settings, context)
    weights.unlink()
    torch.testing.assert_close(deep_space(public(), settings, context)(images(3)), first(images(3)))


def test_weights_of_another_network_are_refused(weights: Path) -> None:
    save_file({"weight": torch.zeros(2)}, weights)
    with pytest.raises(DataError, match="expected the weights of EfficientNet-Lite0"):
        deep_space(public(), PublicNetworkSettings(weights=str(weights)), RunContext())


@pytest.mark.parametrize("method", [DpMerf, DpKernel])
def test_a_missing_file_is_refused_by_the_plan(method: type[DpMerf | DpKernel]) -> None:
    shape = Shape(1, 8, 8)
    info = DatasetInfo(shape=shape, class_names=("a", "b"), nominal_records=100)
    table = "fourier" if method is DpMerf else "kernel"
    config = method.Config.model_validate({table: {"space": "deep"}, "public_network": {"weights": "nowhere.npz"}})
    with pytest.raises(InvalidValue, match=r"found none at 'nowhere\.npz'"):
        method(config).plan(
            Task(info, PublicInfo("toy", shape, ("a",)), 4), Budget(1.0, 1e-5, ADD_OR_REMOVE_ONE), GdpAccountant()
        )
