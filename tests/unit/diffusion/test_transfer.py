from __future__ import annotations

import pytest
import torch

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.mechanisms import RunContext
from dpgen_plugins.diffusion.checkpoint import starting_table
from dpgen_plugins.diffusion.transfer import TransferConfig, pretrained_network

TABLE = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 6.0], [9.0, 9.0]])  # three public classes, then "no class"
PUBLIC = ("cat", "dog", "ship")


@pytest.mark.parametrize(
    ("start", "private", "expected"),
    [
        ("mean", ("x", "dog"), [[3.0, 2.0], [3.0, 2.0]]),
        ("names", ("x", "dog"), [[3.0, 2.0], [3.0, 0.0]]),
        ("first", ("x", "dog"), [[1.0, 0.0], [3.0, 0.0]]),
        ("first", ("a", "b", "c", "d"), [[1.0, 0.0], [3.0, 0.0], [5.0, 6.0], [1.0, 0.0]]),
    ],
)
def test_where_the_private_classes_start(start: str, private: tuple[str, ...], expected: list[list[float]]) -> None:
    found = starting_table(TABLE, PUBLIC, private, start=start)
    assert found.tolist() == [*expected, [9.0, 9.0]]


def config(**labels: object) -> TransferConfig:
    return TransferConfig.model_validate(
        {"network": {"base": 4, "multipliers": [1]}, "pretrain": {"steps": 2, "batch": 4}, "labels": labels}
    )


@pytest.mark.parametrize("conditional", [True, False])
def test_the_pretrained_network_knows_the_private_classes(conditional: bool) -> None:
    images = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    public = PublicDataset("toy", images, torch.arange(12) % 3, PUBLIC)
    info = DatasetInfo(shape=Shape(1, 8, 8), class_names=("dog", "x", "y", "z", "w"), nominal_records=24)
    settings = config(conditional=conditional, start="names")
    network, context = pretrained_network(public, info, settings, RunContext()), RunContext()
    table = network.class_table.weight
    assert len(table) == 5 + 1
    assert torch.equal(table[1], table[4])
    assert torch.equal(table[0], table[1]) != conditional
    again = pretrained_network(public, info, settings, context)
    assert all(torch.equal(again.state_dict()[name], t) for name, t in network.state_dict().items())
