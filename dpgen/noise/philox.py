"""Philox4x32-10: four 32-bit words for each 128-bit counter under a 64-bit key, on any device that torch runs on.

Counter-based: a word is a pure function of its counter, so draws can be addressed instead of consumed. Not
cryptographic; it passes the usual test batteries.
Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3; the known answers
of its Random123 package are among the tests.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from torch import Tensor

Words4: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""Four int64 tensors that hold words in 0 .. 2^32 - 1."""

_ROUNDS: Final = 10
_MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
_WEYL: Final = (0x9E3779B9, 0xBB67AE85)
_MASK: Final = 0xFFFFFFFF


def philox(counter: Words4, key: int) -> Words4:
    """The four words of each counter; the parts of `counter` broadcast against each other. `key`: 64 bits."""
    c0, c1, c2, c3 = counter
    k0, k1 = key & _MASK, key >> 32
    for _ in range(_ROUNDS):
        # int64 products wrap modulo 2^64, so both halves of the unsigned 32 x 32 bit product are right.
        even, odd = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c2 = _mixed(odd, c1, k0), _mixed(even, c3, k1)
        c1, c3 = odd, even  # their low halves count; the high ones are dropped by the next masks
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1.bitwise_and(_MASK), c2, c3.bitwise_and(_MASK)


def _mixed(product: Tensor, word: Tensor, key: int) -> Tensor:
    """The high half of `product`, xor `word`, xor `key`. The shift drags the sign along; the mask drops it."""
    return ((product >> 32) ^ word).bitwise_xor_(key).bitwise_and_(_MASK)
