"""Philox against its published answers; row draws that nothing but their own address can change."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpgen.noise import NO_RECORD, SecureNoise, SeededNoise, rows
from dpgen.noise.philox import philox
from dpgen.noise.streams import Address

KEY = bytes(range(32))
CPU = torch.device("cpu")
IDS = np.array([3, 5, 8, 13, 1 << 40])

KNOWN_ANSWERS = [  # kat_vectors of the Random123 package, "philox4x32 10"
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter, key, answer):
    low, high = words(key)
    drawn = philox(tuple(torch.tensor([word]) for word in words(counter)), low | high << 32)
    assert [int(word) for word in drawn] == words(answer)


def reference_philox(counter: list[int], key: int) -> list[int]:
    """Salmon et al. 2011, section 3.3, in Python's own integers."""
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        even, odd = counter[0] * 0xD2511F53, counter[2] * 0xCD9E8D57
        counter = [odd >> 32 ^ counter[1] ^ k0, odd % 2**32, even >> 32 ^ counter[3] ^ k1, even % 2**32]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return counter


@given(st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4), st.integers(0, 2**64 - 1))
def test_philox_against_plain_integers(counter, key):
    assert [int(w) for w in philox(tuple(torch.tensor([c]) for c in counter), key)] == reference_philox(counter, key)


def drawn(ids=IDS, *, views=2, step=4, shape=(3,), source=None) -> tuple[torch.Tensor, ...]:
    """Three calls, for each row: `[ids, views, *shape]`."""
    random = (source or SecureNoise(KEY).under("a")).row_random(np.asarray(ids), views=views, step=step, device=CPU)
    calls = random.normal(*shape), random.uniform(*shape), random.normal(*shape)
    return tuple(call.view(len(ids), views, *shape) for call in calls)


def same(first, second) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_uniform_is_the_philox_word_of_its_address():
    stream = Address(KEY).below("a").stream("rows", 4)
    key = int(stream.words(1)[0])
    found = SecureNoise(KEY).under("a").row_random(IDS, views=2, step=4, device=CPU).uniform(5)
    blocks = [reference_philox([block, 1, 1 << 40 & 0xFFFFFFFF, 1 << 40 >> 32], key) for block in range(2)]
    expected = [blocks[block][word] for word in range(4) for block in range(2)][:5]
    assert found[-1].tolist() == [(word >> 8) / 2**24 for word in expected]


@pytest.mark.parametrize("source", [SecureNoise(KEY), SeededNoise(0)])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 5), (0,)])
def test_no_other_record_changes_a_draw(source, shape):
    whole = drawn(source=source, shape=shape)
    assert same(whole, drawn(source=source, shape=shape))
    without = drawn(np.delete(IDS, 1), source=source, shape=shape)
    assert same([call[[0, 2, 3, 4]] for call in whole], without)
    assert same([call.flip(0) for call in whole], drawn(IDS[::-1], source=source, shape=shape))
    padded = drawn(np.append(IDS, [NO_RECORD, NO_RECORD]), source=source, shape=shape)
    assert same(whole, [call[:5] for call in padded])


@given(st.lists(st.booleans(), min_size=4, max_size=4))
def test_no_way_of_cutting_the_step_changes_a_draw(cuts):
    edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(IDS)]
    parts = [drawn(IDS[first:after]) for first, after in itertools.pairwise(edges)]
    assert same(drawn(), [torch.cat(calls) for calls in zip(*parts, strict=True)])


def test_pieces_that_fit_the_cache_change_no_draw(monkeypatch):
    whole = drawn(shape=(9,))
    for at_once in (1, 7, 1 << 20):
        monkeypatch.setattr(rows, "_COUNTERS_IN_CACHE", at_once)
        assert same(whole, drawn(shape=(9,)))


def test_views_are_added_without_changing_the_first_ones():
    assert same(drawn(views=2), [call[:, :2] for call in drawn(views=3)])


def test_every_part_of_the_address_counts():
    here = drawn(shape=(50,))
    others = [
        drawn(IDS + 1000, shape=(50,)), drawn(IDS + (1 << 32), shape=(50,)), drawn(step=5, shape=(50,)),
        drawn(source=SecureNoise(KEY).under("b"), shape=(50,)),
        drawn(source=SecureNoise(KEY[::-1]).under("a"), shape=(50,)),
    ]  # fmt: skip
    everything = torch.cat([call.flatten() for calls in [here, *others] for call in (calls[0], calls[2])])
    assert len(everything.unique()) > 0.999 * len(everything)
    assert not torch.isin(here[1], torch.cat([calls[1].flatten() for calls in others])).float().mean() > 1e-3


def test_draws_are_pinned():
    """Redone steps must repeat their draws: a change here breaks resuming across versions."""
    normal, uniform, _ = drawn([7], views=1, shape=(3,))
    assert uniform.flatten().tolist() == PINNED_UNIFORM
    assert normal.flatten().tolist() == pytest.approx(PINNED_NORMAL, rel=1e-5)  # logarithms differ in the last digit


PINNED_UNIFORM = [0.47211557626724243, 0.5795286893844604, 0.7974498271942139]
PINNED_NORMAL = [-1.324468, 0.3181512, 0.2786655]


def test_the_largest_and_smallest_words_give_finite_normals():
    edge = torch.tensor([0, 1, 2**31, 2**32 - 1])
    radial, angular = torch.meshgrid(edge, edge, indexing="ij")
    normals = rows._normals((radial, angular, radial, angular))
    assert normals.isfinite().all()
    assert 6.7 < normals.abs().max() < 6.8
