from __future__ import annotations

import pytest
from torch import nn

from dpgen.errors import InvalidValue
from dpgen.networks.unet import UNet
from dpgen_plugins.diffusion.dp_ldm import DpLdmConfig
from dpgen_plugins.diffusion.parts import chosen, train_only, trained_share

NAMES = ["stem.weight", "down.0.conv1.weight", "down.1.conv1.weight", "down.1.attention.norm.bias"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["stem"], NAMES[:1]),
        (["*.attention"], NAMES[3:]),
        (["down.1"], NAMES[2:]),
        (["stem", "*.conv1"], NAMES[:3]),
        (["*"], NAMES),
        (["stem.weight"], NAMES[:1]),
    ],
)
def test_a_pattern_takes_whole_parts(patterns: list[str], expected: list[str]) -> None:
    assert chosen(NAMES, patterns, setting="trained") == expected


def test_a_pattern_that_matches_nothing_says_what_there_is() -> None:
    with pytest.raises(InvalidValue, match=r"trained .*\['atention'\].*down\.\*\.conv1\.weight, down\.\*\.attention"):
        chosen(NAMES, ["stem", "atention"], setting="trained")


def test_only_what_was_chosen_moves() -> None:
    network = UNet(channels=1, classes=2, base=4, multipliers=(1, 2), attention=(1,))
    train_only(network, DpLdmConfig().trained, setting="trained")
    trained = {name.rsplit(".", 1)[0] for name, p in network.named_parameters() if p.requires_grad}
    attention = {name for name, part in network.named_modules() if "attention" in name and list(part.parameters())}
    inside = {name for name in attention if not name.endswith("attention")}
    assert trained == {"class_table", "embed1", "embed2", "stem"} | inside


def test_the_share_counts_weights() -> None:
    network = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 30, bias=False))
    train_only(network, ["0"], setting="trained")
    assert trained_share(network) == "DP-SGD trains 100 of 400 weights (25.0 %)"
