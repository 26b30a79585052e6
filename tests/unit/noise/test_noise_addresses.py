"""The same address gives the same draw, two addresses never share one, and the key never leaks."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpgen.errors import InvalidValue
from dpgen.noise import SecureNoise, SeededNoise
from dpgen.noise.streams import Address, Stream, _encode

KEY = bytes(range(32))
CPU = torch.device("cpu")
TEXT = st.text(max_size=4)


def test_the_stream_is_chacha20():
    """Known answers: 256-bit keys, nonce 0, 20 rounds (the zero key: RFC 8439, A.1, 1 and 2; both as by OpenSSL)."""
    zero = Stream(bytes(32)).words(16).astype("<u8").tobytes().hex()
    assert zero == (
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
    )
    counting = Stream(KEY).words(4).astype("<u8").tobytes().hex()
    assert counting == "39fd2b7dd9c5196a8dbd0377b8dc4a498a35d86fbcde6accb2cc7d4cd8ea2492"


def test_a_stream_goes_on_however_it_is_cut():
    whole, cut = Stream(KEY).words(1000), Stream(KEY)
    assert np.array_equal(whole, np.concatenate([cut.words(n) for n in (1, 2, 30, 400, 567)]))


def test_all_bits_of_a_key_count():
    firsts = {int(Stream((1 << bit).to_bytes(32, "little")).words(1)[0]) for bit in range(256)}
    assert len(firsts) == 256


def test_draws_are_pinned():
    """A resumed run must repeat its draws: a change here breaks resuming across versions and needs a new format."""
    noise = SecureNoise(KEY).under("query#0")
    assert noise.discrete_gaussian(np.zeros(8, np.int64), scale=35.0, sensitivity=1.0).tolist() == PINNED_COUNTS
    assert noise.poisson_subset(np.arange(40), probability=0.2, step=3).tolist() == PINNED_SUBSET


PINNED_COUNTS = [9, 39, -68, -4, -50, 19, -40, -3]
PINNED_SUBSET = [0, 7, 14, 16, 22, 32, 33, 35, 38, 39]


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_different_parts_have_different_bytes(left, right):
    assert (_encode(left) == _encode(right)) == (left == right)


def test_joining_parts_without_lengths_would_share_draws():
    """The broken twin of the encoding above."""
    assert "/".join(["a/b", "c"]) == "/".join(["a", "b/c"])
    assert _encode(["a/b", "c"]) != _encode(["a", "b/c"])


def test_no_two_addresses_share_a_draw():
    root = Address(KEY)
    labels = [root, *(root.below(label) for label in ("a", "b", "ab", "a/b", "gaussian", "1"))]
    labels += [root.below("a").below("b"), root.below("b").below("a"), root.below("a").below("a")]
    firsts = [
        int(address.stream(purpose, step, detail).words(1)[0])
        for address in labels
        for purpose in ("gaussian", "poisson", "a")
        for step in (0, 1, 11, 111)
        for detail in ("", "1", "a", "gaussian")
    ]
    assert len(set(firsts)) == len(firsts) == 480


def test_every_method_has_its_own_address():
    """The words behind the four kinds of draws differ, also at one (label, step, tensor)."""
    noise = SecureNoise(KEY).under("x")
    zeros = np.zeros(2000)
    gaussian = noise.gaussian(zeros, standard_deviation=1000.0, sensitivity=1.0, tensor="t")
    discrete = noise.discrete_gaussian(zeros.astype(np.int64), scale=1000.0, sensitivity=1.0, tensor="t")
    rows = noise.row_random(np.arange(2000), views=1, device=CPU).normal().numpy()
    for left, right in ((gaussian, discrete), (gaussian, rows), (discrete, rows)):
        assert abs(np.corrcoef(left, right)[0, 1]) < 0.14  # 6 deviations of 1 / sqrt(2000)


@pytest.mark.parametrize("source", [SecureNoise(KEY), SeededNoise(0)])
def test_same_address_same_draw(source):
    def draws(noise, step=0, tensor="t"):
        ids = np.arange(50)
        rows = noise.row_random(ids, views=2, step=step, device=CPU)
        return [
            noise.gaussian(np.zeros(3), standard_deviation=1.0, sensitivity=1.0, step=step, tensor=tensor).tolist(),
            noise.discrete_gaussian(
                np.zeros(9, np.int64), scale=9.0, sensitivity=1.0, step=step, tensor=tensor
            ).tolist(),
            noise.poisson_subset(ids, probability=0.5, step=step).tolist(),
            rows.normal(2).tolist(),
            rows.uniform(2).tolist(),
            rows.uniform(2).tolist(),
        ]

    here = draws(source.under("a"))
    assert here == draws(source.under("a"))
    assert here[4] != here[5]
    for other in (draws(source.under("b")), draws(source.under("a"), step=1), draws(source.under("a").under("a"))):
        assert all(mine != theirs for mine, theirs in zip(here, other, strict=True))
    assert all(mine != theirs for mine, theirs in zip(here[:2], draws(source.under("a"), tensor="u")[:2], strict=True))


def test_new_sources_have_new_keys():
    first, second = SecureNoise(), SecureNoise()
    assert first.key != second.key
    assert len(first.key) == 32
    again = SecureNoise(first.key)
    value = np.zeros(4)
    assert np.array_equal(
        first.gaussian(value, standard_deviation=1.0, sensitivity=1.0),
        again.gaussian(value, standard_deviation=1.0, sensitivity=1.0),
    )
    assert first.under("a").key == first.key


def test_only_the_secure_source_is_private():
    assert SecureNoise.is_private
    assert not SeededNoise.is_private
    assert SecureNoise().under("a").is_private
    assert not SeededNoise(1).under("a").is_private
    assert not hasattr(SeededNoise(1), "key")


def test_the_key_is_not_shown_copied_or_pickled():
    source = SecureNoise(KEY)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            attempt(source)
    assert repr(KEY) not in repr(source) + repr(vars(source))
    assert KEY.hex() not in repr(source) + repr(vars(source))


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), "x" * 32, 7])
def test_a_key_has_32_bytes_and_is_never_printed(key):
    with pytest.raises(InvalidValue, match="32 bytes") as caught:
        SecureNoise(key)
    assert repr(key) not in str(caught.value)


class TestRows:
    ids = np.array([3, 5, 8, 13])

    def test_shapes(self):
        for source in (SecureNoise(KEY), SeededNoise(0)):
            rows = source.row_random(self.ids, views=3, device=CPU)
            for drawn in (rows.normal(2, 5), rows.uniform(2, 5)):
                assert drawn.shape == (12, 2, 5)
                assert drawn.dtype == torch.float32
                assert drawn.device == CPU
            assert rows.normal().shape == (12,)
            assert source.row_random(np.array([], np.int64), views=3, device=CPU).normal(4).shape == (0, 4)

    def test_uniform_lies_in_the_half_open_unit_interval(self):
        for source in (SecureNoise(KEY), SeededNoise(0)):
            drawn = source.row_random(np.arange(100), views=1, device=CPU).uniform(1000)
            assert 0 <= drawn.min() < drawn.max() < 1

    @pytest.mark.parametrize("wrong", [{"views": 0}, {"views": 1, "step": -1}])
    def test_refused(self, wrong):
        for source in (SecureNoise(KEY), SeededNoise(0)):
            with pytest.raises(InvalidValue):
                source.row_random(self.ids, device=CPU, **wrong)
