"""The DP-SGD noise multipliers of DPImageBench, recomputed: `python -m benchmarks.paper_noise [--json]`.

Protocol: delta = 1 / (N ln N), add-or-remove-one, one DP-SGD event; before it what a method with a look of its own
charges (`beside`). `published` was computed by the Opacus RDP formula at the Opacus orders. `opacus_orders` is our RDP
at the same orders, `rdp` our RDP at its default orders, `pld` our default accountant; `saved_percent` is the noise that
pld saves over `rdp`. `agrees`: equal to the published digits.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from dpgen.accountants import Accountant, PldAccountant, RdpAccountant, calibrate
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.events import Composed, DpEvent, Gaussian, PoissonSampled, SelfComposed

OPACUS_ORDERS = (*(1 + tenths / 10 for tenths in range(1, 100)), *map(float, range(12, 64)))


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the published table: `batches` per epoch, so the sampling probability is 1 / batches."""

    data: str
    records: int
    batches: int
    steps: int
    published: dict[float, str]
    method: str = "DP-SGD"
    beside: tuple[DpEvent, ...] = ()
    """What the method charges before DP-SGD, at the noise of its published configuration."""

    def event(self, noise_multiplier: float) -> DpEvent:
        """All steps of DP-SGD with this noise, and what is charged beside them."""
        training = SelfComposed(PoissonSampled(1 / self.batches, Gaussian(noise_multiplier)), self.steps)
        return Composed((*self.beside, training)) if self.beside else training

    def budget(self, epsilon: float) -> Budget:
        """The budget of the protocol."""
        return Budget(epsilon, 1 / (self.records * math.log(self.records)), ADD_OR_REMOVE_ONE)


SETTINGS = (
    Setting("MNIST", 55_000, 14, 2100, {1.0: "14.55", 10.0: "1.994"}),
    Setting("CIFAR-10", 45_000, 11, 1650, {1.0: "16.25", 10.0: "2.205"}),
    Setting("EuroSAT", 21_000, 6, 900, {1.0: "21.10", 10.0: "2.839"}),
    Setting("CelebA 32", 145_064, 36, 3600, {1.0: "7.80", 10.0: "1.200"}),
    Setting("Camelyon", 269_538, 66, 3300, {1.0: "4.25", 10.0: "0.839"}),
)


def _central_images(noise_multiplier: float, *, records: int, batch: int, rounds: int) -> DpEvent:
    """DP-FETA's query: noisy sums over Poisson samples of the records."""
    return SelfComposed(PoissonSampled(batch / records, Gaussian(noise_multiplier)), rounds)


_MNIST, _CIFAR, _CELEBA = ("MNIST", 55_000, 14, 2100), ("CIFAR-10", 45_000, 11, 1650), ("CelebA 150", 145_064, 36, 5400)
"""The last one trains for 150 epochs, where `SETTINGS` have 100."""
_QUERY = (Gaussian(50.0),)
"""PrivImage's votes: the noise is 50 times the L2 sensitivity sqrt(k)."""
_MNIST_5 = _central_images(5.0, records=55_000, batch=6000, rounds=5)
_MNIST_20 = _central_images(20.0, records=55_000, batch=6000, rounds=5)
_CIFAR_5 = _central_images(5.0, records=45_000, batch=6000, rounds=5)
_CIFAR_15 = _central_images(15.0, records=45_000, batch=6000, rounds=5)
_CELEBA_10 = _central_images(10.0, records=145_064, batch=12_000, rounds=250)
_CELEBA_15 = _central_images(15.0, records=145_064, batch=12_000, rounds=250)

METHOD_SETTINGS = (
    Setting(*_MNIST, {1.0: "14.608", 10.0: "1.994"}, "PrivImage", _QUERY),
    Setting(*_CIFAR, {1.0: "16.309", 10.0: "2.205"}, "PrivImage", _QUERY),
    Setting(*_MNIST, {1.0: "14.94"}, "DP-FETA", (_MNIST_5,)),
    Setting(*_CIFAR, {1.0: "16.90"}, "DP-FETA", (_CIFAR_5,)),
    Setting(*_CELEBA, {1.0: "9.53"}),
    Setting(*_CELEBA, {1.0: "12.0"}, "DP-FETA", (_CELEBA_10,)),
    Setting(*_MNIST, {1.0: "14.78"}, "FETA-Pro", (_MNIST_20, Gaussian(26.6))),
    Setting(*_CIFAR, {1.0: "16.46"}, "FETA-Pro", (_CIFAR_15, Gaussian(32.6))),
    Setting(*_CELEBA, {1.0: "10.64"}, "FETA-Pro", (_CELEBA_15, Gaussian(25.0))),
)
"""The methods that charge more than DP-SGD."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one setting needs at one epsilon."""

    method: str
    data: str
    epsilon: float
    delta: float
    published: float
    opacus_orders: float
    agrees: bool
    rdp: float
    pld: float
    saved_percent: float


def solve(setting: Setting, epsilon: float, accountant: Accountant) -> float:
    """The noise multiplier of `setting` at `epsilon`."""
    return calibrate(accountant, setting.budget(epsilon), setting.event)


def opacus_noise(setting: Setting, epsilon: float) -> float:
    """The noise multiplier by our RDP at the orders of Opacus: what the published number was computed from."""
    return solve(setting, epsilon, RdpAccountant(orders=OPACUS_ORDERS))


def agrees(found: float, published: str) -> bool:
    """Is `found` within one unit of the third significant digit of the published number?"""
    unit = 10.0 ** (math.floor(math.log10(float(published))) - 2)
    return abs(found - float(published)) < unit


def rows() -> Iterator[Row]:
    """All rows of the table, computed one at a time."""
    for setting in (*SETTINGS, *METHOD_SETTINGS):
        for epsilon, published in setting.published.items():
            opacus = opacus_noise(setting, epsilon)
            rdp, pld = solve(setting, epsilon, RdpAccountant()), solve(setting, epsilon, PldAccountant())
            delta, saved = setting.budget(epsilon).delta, 100 * (1 - pld / rdp)
            matched = agrees(opacus, published)
            yield Row(setting.method, setting.data, epsilon, delta, float(published), opacus, matched, rdp, pld, saved)


def main() -> None:
    """Print the table, or JSON lines."""
    parser = argparse.ArgumentParser(description="Noise multipliers of DPImageBench, published and ours.")
    parser.add_argument("--json", action="store_true", help="one JSON object per row")
    as_json = parser.parse_args().json
    if not as_json:
        print("method    data        eps     delta published      ours agrees       rdp       pld saved")
    for row in rows():
        if as_json:
            print(json.dumps(asdict(row)), flush=True)
            continue
        print(
            f"{row.method:<9} {row.data:<10} {row.epsilon:>4g} {row.delta:>9.3g} "
            f"{row.published:>9.5g} {row.opacus_orders:>9.4f} "
            f"{'yes' if row.agrees else 'NO':>6} {row.rdp:>9.4f} {row.pld:>9.4f} {row.saved_percent:>4.1f}%",
            flush=True,
        )


if __name__ == "__main__":
    main()
