"""From an address to its own ChaCha20 stream of secret words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import randomgen
from numpy.typing import NDArray

from dpgen import validate
from dpgen.errors import InvalidValue

Words = NDArray[np.uint64]

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Address:
    """Where draws come from: a secret run key and the path of labels below it."""

    key: bytes = field(repr=False)
    path: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.key, bytes) or len(self.key) != KEY_BYTES:
            raise InvalidValue(f"a run key has {KEY_BYTES} bytes; found something else. Leave it out to draw one.")

    def below(self, label: str) -> Address:
        """The same key, one label deeper."""
        if not label:
            raise InvalidValue("a noise label must not be empty; found ''. Name what the draws are for.")
        return Address(self.key, (*self.path, label))

    def stream(self, purpose: str, step: int = 0, detail: str = "") -> Stream:
        """The stream of (run key, path, purpose, step, detail)."""
        validate.count(0, step=step)
        message = _encode([purpose, str(step), detail, *self.path])
        # BLAKE2b with a key is a pseudorandom function: without the run key the stream keys look independent.
        digest = hashlib.blake2b(message, key=self.key, digest_size=32, person=b"dpgen noise 1").digest()
        return Stream(digest)


class Stream:
    """The key stream of ChaCha20 (20 rounds, nonce 0, Bernstein 2008) under a 256-bit key, as 64-bit words."""

    def __init__(self, key: bytes) -> None:
        self._bits: Any = randomgen.ChaCha(key=int.from_bytes(key, "little"))

    def words(self, count: int) -> Words:
        """The next `count` words, each uniform on 0 .. 2^64 - 1."""
        words: Words = self._bits.random_raw(count)
        return words

    def generator(self) -> np.random.Generator:
        """A numpy generator that goes on with this stream."""
        return np.random.Generator(self._bits)


def _encode(parts: Sequence[str]) -> bytes:
    """Each part behind its length, so that no two lists of parts have the same bytes."""
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(8, "little") + part for part in encoded)
