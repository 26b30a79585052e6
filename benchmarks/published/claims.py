"""One claim per method: the charges that its code makes, as the events that really happened.

Multipliers are in units of what one record can move the released sum by under add-or-remove-one. `N is public` means
that the code divides by the true number of records, which only replace-one leaves unchanged; the add-or-remove-one
column then takes the divisor as given. File names are those of commit 565f8d7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.published.protocol import CIFAR10, MNIST, OPACUS, PLD, PrivateSet, dp_sgd, dp_sgd_noise, solved
from dpgen.events import Composed, DpEvent, Gaussian, PoissonSampled, SelfComposed

TARGETS = (1.0, 10.0)


@dataclass(frozen=True, slots=True)
class Claim:
    """One method at one target: `add_or_remove` and `replace` are what its code did; None: no event bounds it."""

    method: str
    data: PrivateSet
    target: float
    add_or_remove: DpEvent | None
    replace: DpEvent | None
    faults: tuple[str, ...]
    reading: str


def dp_merf(target: float) -> Iterator[Claim]:
    """Mean of unit features over N, noise 2 sigma / N, one step: `models/DP_MERF/rff_mmd_approx.py`."""
    noise = solved(MNIST, target, Gaussian, OPACUS)
    event = Gaussian(2 * noise)  # replace-one moves the sum by 2, so this costs the target there and less here
    yield Claim("DP-MERF", MNIST, target, event, event, (), "calibrated for replace-one; N is public")


def dp_ntk(target: float) -> Iterator[Claim]:
    """Mean of unit gradients over the first batch of n, noise sigma / n: `models/DP_NTK/dp_ntk_mean_emb1.py`."""
    noise = solved(MNIST, target, Gaussian, OPACUS)
    # One more record in the set displaces another from a batch of fixed size: that is a replacement in the batch.
    displaced = Gaussian(noise / 2)
    reading = "the batch has a fixed size, so an added record displaces one; no credit for which batch it was"
    yield Claim("DP-NTK", MNIST, target, displaced, Gaussian(noise), ("P12",), reading)


def dp_kernel(target: float) -> Iterator[Claim]:
    """A noisy scalar times a clean gradient, and no noise where a factorisation fails: `models/dp_kernel.py`."""
    reading = "the direction of every update is clean; a bare `except` uses clean values; private labels are reused"
    yield Claim("DP-Kernel", MNIST, target, None, None, ("P5", "P6"), reading)


def private_evolution(target: float) -> Iterator[Claim]:
    """One vote a record and round, 11 rounds, exact Gaussian: `models/pe.py`."""
    noise = solved(MNIST, target, lambda sigma: SelfComposed(Gaussian(sigma), 11), PLD)
    votes = SelfComposed(Gaussian(noise), 11)
    moved = SelfComposed(Gaussian(noise * math.sqrt(2)), 11)  # a moved vote: distance sqrt 2, and the event doubles 1
    yield Claim("PE", MNIST, target, votes, moved, ("P14",), "clean vote counts stand in the log")


def gs_wgan(target: float) -> Iterator[Claim]:
    """20,001 steps, one of 1000 critics drawn, at most 32 noisy rows a step: `models/gs_wgan.py`."""
    noise = solved(MNIST, target, lambda sigma: SelfComposed(PoissonSampled(1e-3, Gaussian(sigma)), 20_000), OPACUS)
    # Each row moves by up to 2 C and gets noise of deviation 2 C sigma; all rows of a step come from one critic. There
    # are as many as images in its last batch: 32 or 23 by turns, for a shard of 55. 32 bounds both.
    rows = Gaussian(noise / math.sqrt(32))
    drawn = SelfComposed(PoissonSampled(1e-3, rows), 20_001)
    yield Claim("GS-WGAN, rows jointly", MNIST, target, drawn, None, ("P2",), "if each critic saw its own shard alone")
    reading = "records of the last shard: every critic starts from the one trained on it"
    yield Claim("GS-WGAN, last shard", MNIST, target, SelfComposed(rows, 20_001), None, ("P2", "P3"), reading)


def plain_dp_sgd(target: float) -> Iterator[Claim]:
    """DPGAN, DPDM, PDP-Diffusion and DP-LDM-SD: one event, DP-SGD with views averaged before the clip."""
    event = dp_sgd(MNIST, dp_sgd_noise(MNIST, target))
    for method in ("DPGAN", "DPDM", "PDP-Diffusion", "DP-LDM-SD"):
        yield Claim(method, MNIST, target, event, event, (), "holds with secret noise")


def latent_diffusion(target: float) -> Iterator[Claim]:
    """DP-LDM and DP-LoRA: calibrated tightly; DP-LoRA clips its 8 views one by one: `models/DP_LORA`, `ddpm.py`."""
    noise = solved(CIFAR10, target, lambda sigma: dp_sgd(CIFAR10, sigma), PLD)
    event = dp_sgd(CIFAR10, noise)
    yield Claim("DP-LDM", CIFAR10, target, event, event, (), "holds with secret noise")
    eight = dp_sgd(CIFAR10, noise / 8)  # one record adds up to 8 C to the sum, the noise is for C
    yield Claim("DP-LoRA", CIFAR10, target, eight, eight, ("P1",), "8 views of a record, each clipped to C")


def central_images(claimed: float, *, rounds: int = 5, batch: int = 6000) -> tuple[DpEvent, DpEvent]:
    """Class means as accounted, and as made for the rarest class: `CentralDataset.query_mean_image`.

    The divisor is the class's own count in the sample, the noise is for `batch / 10`; the loader samples with one over
    its length. So the multiplier of class c is claimed * E[n_c] / (batch / 10).
    """
    accounted = SelfComposed(PoissonSampled(batch / MNIST.records, Gaussian(claimed)), rounds)
    probability = 1 / MNIST.batches(batch)
    shrunk = claimed * probability * MNIST.rarest_class / (batch / 10)
    return accounted, SelfComposed(PoissonSampled(probability, Gaussian(shrunk)), rounds)


def dp_feta(target: float) -> Iterator[Claim]:
    """Five rounds of central images with sigma 5, then DP-SGD: `data/dataset_loader.py`, `warm_up`."""
    accounted, made = central_images(5.0)
    event = Composed((made, dp_sgd(MNIST, dp_sgd_noise(MNIST, target, history=accounted))))
    yield Claim("DP-FETA", MNIST, target, event, event, ("P8",), "a record of the rarest class, its expected count")


def feta_pro(target: float) -> Iterator[Claim]:
    """Central images, the embedding of DP-MERF, then DP-SGD, in one history."""
    time, frequency = {1.0: (20.0, 26.6), 10.0: (5.0, 7.4)}[target]
    accounted, made = central_images(time)
    embedding = Gaussian(frequency)
    noise = dp_sgd_noise(MNIST, target, history=Composed((accounted, embedding)))
    event = Composed((made, embedding, dp_sgd(MNIST, noise)))
    yield Claim("DP-FETA-Pro", MNIST, target, event, event, ("P8",), "a record of the rarest class; N is public")


def privimage(target: float) -> Iterator[Claim]:
    """A histogram of 5 votes with sigma 50, then DP-SGD: `semantic_query`."""
    query = Gaussian(50.0)
    event = Composed((query, dp_sgd(MNIST, dp_sgd_noise(MNIST, target, history=query))))
    moved = Composed((Gaussian(50.0 * math.sqrt(2)), event.events[1]))
    yield Claim("PrivImage", MNIST, target, event, moved, (), "holds with secret noise")


METHODS: tuple[Callable[[float], Iterator[Claim]], ...] = (
    dp_merf,
    dp_ntk,
    dp_kernel,
    private_evolution,
    gs_wgan,
    plain_dp_sgd,
    latent_diffusion,
    dp_feta,
    feta_pro,
    privimage,
)


def claims() -> Iterator[Claim]:
    """Every claim, method by method."""
    for method in METHODS:
        for target in TARGETS:
            yield from method(target)
