"""What exact per-example clipping costs: processor time of `clipped_gradient_sum` over a non-private step.

    python -m benchmarks.dp_sgd [--json] [--repeats 5]

Same network, same rows, one thread; both include forward, loss and backward, neither the optimizer nor noise. Each
figure is the best of some repeats, the two kinds of step taking turns, so that other load on the machine hits both.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from dpgen.mechanisms.dp_sgd import clipped_gradient_sum
from dpgen.networks.unet import UNet

VIEWS = (1, 4, 8, 16)


@dataclass(frozen=True)
class Case:
    """A network and how many rows one step computes."""

    name: str
    side: int
    base: int
    patch: int
    rows: int

    def network(self) -> UNet:
        """The network, with public weights."""
        torch.manual_seed(0)
        network = UNet(channels=1, classes=10, base=self.base, patch=self.patch)
        with torch.no_grad():  # a fresh network has zero layers, and zeros may be faster than numbers
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        return network


CASES = (
    Case("digits demo: 8 px, base 16", side=8, base=16, patch=1, rows=128),
    Case("MNIST: 28 px, patches of 2, base 16", side=28, base=16, patch=2, rows=128),
    Case("28 px, base 32", side=28, base=32, patch=1, rows=32),
)


@dataclass(frozen=True)
class Figure:
    """One line of the table; `ratio` is private over plain processor time."""

    case: str
    parameters: int
    views: int
    rows: int
    plain_rows_per_second: float
    private_rows_per_second: float
    ratio: float


def row_losses(network: nn.Module, images: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
    return (network(images, levels, labels) - images).square().flatten(1).mean(1)


def measure(case: Case, views: int, repeats: int) -> Figure:
    network = case.network()
    rows = (torch.randn(case.rows, 1, case.side, case.side), torch.randn(case.rows), torch.arange(case.rows) % 10)

    def plain() -> None:
        network.zero_grad()
        row_losses(network, *rows).mean().backward()

    def private() -> None:
        clipped_gradient_sum(network, row_losses, rows, views=views, clip_norm=1.0)

    fastest = {step: processor_seconds(step) for step in (plain, private)}  # also warms up
    for _ in range(repeats):
        fastest = {step: min(seconds, processor_seconds(step)) for step, seconds in fastest.items()}
    return Figure(
        case=case.name,
        parameters=sum(p.numel() for p in network.parameters()),
        views=views,
        rows=case.rows,
        plain_rows_per_second=round(case.rows / fastest[plain], 1),
        private_rows_per_second=round(case.rows / fastest[private], 1),
        ratio=round(fastest[private] / fastest[plain], 3),
    )


def processor_seconds(step: Callable[[], None]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = [measure(case, views, arguments.repeats) for case in CASES for views in VIEWS]
    if arguments.json:
        about = {"torch": torch.__version__, "processor": platform.machine(), "threads": 1}
        print(json.dumps(about | {"figures": [asdict(figure) for figure in figures]}, indent=2))
        return
    for f in figures:
        speeds = f"plain {f.plain_rows_per_second:7.1f} rows/s   private {f.private_rows_per_second:7.1f} rows/s"
        print(f"{f.case:38} views {f.views:2}   {speeds}   ratio {f.ratio:.2f}")


if __name__ == "__main__":
    main()
