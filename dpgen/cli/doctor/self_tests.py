"""Do the accountants price, and the noise ciphers draw, on this machine what is known to be right?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dpgen.cli.doctor.finding import Finding, State, judged

if TYPE_CHECKING:
    import torch

    from dpgen.accountants.base import Accountant
    from dpgen.events import DpEvent
    from dpgen.plugins.registry import Registry

CHACHA20 = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
"""The first 32 bytes of key stream for a key, nonce and counter of zeros. Source: RFC 8439, appendix A.1, vector 1."""
PHILOX = (
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
)
"""Counter, key, output of Philox4x32-10. Source: the known answers (kat_vectors) of the Random123 package."""
_ROUNDING = 1e-9
"""Relative; what the closed forms themselves may be off by in double precision."""


def accountants(registry: Registry) -> Iterator[Finding]:
    """Each accountant that may enforce a budget, against closed forms."""
    for name in registry.accountants():
        accountant = registry.accountant(name)()
        if accountant.kind == "approximation":
            continue
        try:
            wrong, asked = _misses(accountant)
        except Exception as error:  # of a plugin, or of a library that this machine computes wrongly with
            wrong, asked = [type(error).__name__], 1
        yield judged(
            f"accountant {name}",
            good=not wrong and asked > 0,
            expected="bounds that hold the closed forms",
            found=f"wrong for {', '.join(wrong)}" if wrong else f"{asked} of {asked} hold",
            mend="Price with another accountant; reinstall numpy, scipy and prv-accountant; please report it.",
        )


def _misses(accountant: Accountant) -> tuple[list[str], int]:
    """The events whose true delta lies outside the accountant's bounds, and how many were asked for."""
    from dpgen.budget import ADD_OR_REMOVE_ONE

    misses, asked = [], 0
    for event, epsilon, truth in _closed_forms():
        if accountant.supports(event, relation=ADD_OR_REMOVE_ONE):
            bound = accountant.delta(event, epsilon=epsilon, relation=ADD_OR_REMOVE_ONE)
            slack = _ROUNDING * truth
            asked += 1
            if not bound.lower - slack <= truth <= bound.upper + slack:
                misses.append(str(event))
    return misses, asked


def _closed_forms() -> Iterator[tuple[DpEvent, float, float]]:
    """Events, an epsilon for each, and the true delta under add-or-remove-one."""
    from dpgen.events import Gaussian, PoissonSampled, SelfComposed

    yield Gaussian(1.0), 2.0, _gaussian_delta(1.0, 2.0)
    yield SelfComposed(Gaussian(8.0), 64), 2.0, _gaussian_delta(1.0, 2.0)  # mu of Gaussian DP adds in squares
    # One Poisson-sampled Gaussian, removal (the worse direction for epsilon > 0): the hockey-stick of
    # (1 - q) N(0, 1) + q N(1, 1) over N(0, 1) is q times the Gaussian's at log(1 + (e^eps - 1) / q).
    # Source: Balle, Barthe, Gaboardi 2018 (arXiv 1807.01647), theorem 2.
    probability, epsilon = 0.1, 0.5
    amplified = math.log1p(math.expm1(epsilon) / probability)
    yield PoissonSampled(probability, Gaussian(1.0)), epsilon, probability * _gaussian_delta(1.0, amplified)


def _gaussian_delta(mu: float, epsilon: float) -> float:
    """Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu). Source: Balle, Wang 2018 (arXiv 1805.06530), theorem 8."""
    return _phi(mu / 2 - epsilon / mu) - math.exp(epsilon) * _phi(-mu / 2 - epsilon / mu)


def _phi(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def noise() -> Iterator[Finding]:
    """ChaCha20, which keys and draws all noise, and Philox, which draws the rows of a batch on the device."""
    mend = "Reinstall randomgen and torch. Until this is right no run on this machine is private."
    yield _answered("noise: ChaCha20", "the key stream of RFC 8439", _chacha_is_right, mend)
    yield _answered("noise: Philox", "the known answers of Random123, on each device", _philox_is_right, mend)


def _answered(name: str, expected: str, is_right: Callable[[], bool], mend: str) -> Finding:
    try:
        good = is_right()
        found = "as expected" if good else "other values"
    except Exception as error:
        good, found = False, type(error).__name__
    return judged(name, good=good, expected=expected, found=found, mend=mend, otherwise=State.BROKEN)


def _chacha_is_right() -> bool:
    from dpgen.noise.streams import KEY_BYTES, Stream

    return Stream(bytes(KEY_BYTES)).words(4).astype("<u8").tobytes().hex() == CHACHA20


def _philox_is_right() -> bool:
    import torch

    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    return all(_philox_on(torch.device(name)) for name in devices)


def _philox_on(device: torch.device) -> bool:
    import torch

    from dpgen.noise.philox import philox

    for counter, key, answer in PHILOX:
        c0, c1, c2, c3 = (torch.tensor([int(word, 16)], device=device) for word in counter.split())
        low, high = (int(word, 16) for word in key.split())
        if [int(word) for word in philox((c0, c1, c2, c3), low | high << 32)] != [int(w, 16) for w in answer.split()]:
            return False
    return True
