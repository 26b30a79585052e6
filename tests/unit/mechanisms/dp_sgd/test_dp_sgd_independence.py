"""The rehearsal sees in values what no gradient shows: detached statistics, sorting, memory, hidden randomness."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpgen.errors import PrivacyError, SensitivityError
from dpgen.mechanisms.dp_sgd.rehearsal import rehearse
from dpgen.noise import RowRandom


def _inputs(images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> tuple[Tensor, ...]:
    noisy = images.repeat_interleave(views, 0) + 0.1 * random.normal(*images.shape[1:])
    return noisy, labels.repeat_interleave(views)


def _loss(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(module(images), labels, reduction="none")


class _Net(nn.Module):
    """A classifier of 4 x 4 pixels that `how` may spoil between its input and its layer."""

    def __init__(self, how: Callable[[_Net, Tensor], Tensor] = lambda net, x: x) -> None:
        super().__init__()
        self.layer, self.how, self.kept = nn.Linear(16, 4), how, torch.zeros(16)
        self.register_buffer("centre", torch.zeros(16))

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.layer(self.how(self, images.flatten(1)))
        return result


def _rehearse(module: nn.Module, inputs: Callable[..., tuple[Tensor, ...]] = _inputs) -> None:
    generator = torch.Generator().manual_seed(0)
    rehearse(module, inputs, _loss, views=2, image=torch.Size((1, 4, 4)), generator=generator)


def test_an_honest_loss_passes_with_its_randomness() -> None:
    _rehearse(_Net())


@pytest.mark.parametrize(
    "how",
    [
        lambda net, x: x.cumsum(0),
        lambda net, x: x - x.detach().mean(0),
        lambda net, x: x / x.detach().norm(),
        lambda net, x: x + x.detach().roll(1, 0),
        lambda net, x: x * (x.argsort(0) + 1),
    ],
    ids=["earlier rows", "detached mean", "detached norm", "detached neighbour", "rank in the batch"],
)
def test_mixing_that_passes_no_gradient_is_refused(how: Callable[[_Net, Tensor], Tensor]) -> None:
    with pytest.raises(SensitivityError, match="every example must be computed alone"):
        _rehearse(_Net(how))


def test_sorting_in_inputs_is_refused() -> None:
    def by_brightness(images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> tuple[Tensor, ...]:
        order = images.detach().sum((1, 2, 3)).argsort()
        return _inputs(images.detach()[order], labels[order], views=views, random=random)

    with pytest.raises(SensitivityError, match="every example must be computed alone"):
        _rehearse(_Net(), by_brightness)


def _remembering(net: _Net, x: Tensor) -> Tensor:
    shifted = x + net.kept
    net.kept = x.detach().mean(0)
    return shifted


@pytest.mark.parametrize("how", [_remembering, lambda net, x: x + torch.rand_like(x)], ids=["memory", "torch.rand"])
def test_memory_of_earlier_batches_and_randomness_of_its_own_are_refused(how: Callable[[_Net, Tensor], Tensor]) -> None:
    with pytest.raises(PrivacyError, match="must depend on its rows alone"):
        _rehearse(_Net(how))


def test_a_buffer_written_behind_autograds_back_is_refused() -> None:
    def written(net: _Net, x: Tensor) -> Tensor:
        net.centre.data.add_(x.detach().mean(0))
        return x

    with pytest.raises(PrivacyError, match="the loss changed 'centre'"):
        _rehearse(_Net(written))
