"""What each draw accepts and refuses, and the parts of the exact sampler that chance almost never reaches."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from dpgen.errors import InvalidValue, SensitivityError
from dpgen.noise import SecureNoise, SeededNoise
from dpgen.noise import sources as sources_module
from dpgen.noise.discrete import _digit, _Digits, _next_digits_below, uniform_below
from dpgen.noise.streams import Stream

NOISE = SeededNoise(0)


class Script(Stream):
    """A stream that gives the words it is told, and fails when asked for more."""

    def __init__(self, *words: int) -> None:
        self.left = list(words)

    def words(self, count: int):
        drawn, self.left = self.left[:count], self.left[count:]
        assert len(drawn) == count, "more words were drawn than scripted"
        return np.array(drawn, dtype=np.uint64)


class TestGaussian:
    def test_value_and_noise_add_up(self):
        value = np.linspace(-1, 1, 12).reshape(3, 4)
        clean = value.copy()
        noise = NOISE.gaussian(np.zeros((3, 4)), standard_deviation=1.0, sensitivity=1.0)
        noisy = NOISE.gaussian(value, standard_deviation=2.5, sensitivity=1.0)
        assert np.array_equal(noisy, value + 2.5 * noise)
        assert np.array_equal(value, clean)
        assert noisy.dtype == np.float64
        assert np.array_equal(NOISE.gaussian(value, standard_deviation=0.0, sensitivity=1.0), value)

    def test_single_precision_is_widened_before_the_noise(self):
        noisy = NOISE.gaussian(np.zeros(4, np.float32), standard_deviation=1.0, sensitivity=1.0)
        assert np.array_equal(noisy, NOISE.gaussian(np.zeros(4), standard_deviation=1.0, sensitivity=1.0))

    def test_scalars_and_empty_arrays_keep_their_shape(self):
        for shape in ((), (0,), (0, 3)):
            assert NOISE.gaussian(np.zeros(shape), standard_deviation=1.0, sensitivity=1.0).shape == shape

    @pytest.mark.parametrize("deviation", [-1.0, math.nan, math.inf, "1", True])
    def test_deviation_out_of_range(self, deviation):
        with pytest.raises(InvalidValue, match="standard_deviation"):
            NOISE.gaussian(np.zeros(2), standard_deviation=deviation, sensitivity=1.0)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_value_that_noise_cannot_hide(self, value):
        with pytest.raises(SensitivityError, match="finite"):
            NOISE.gaussian(np.array([0.0, value]), standard_deviation=1.0, sensitivity=1.0)


@pytest.mark.parametrize("sensitivity", [-1.0, math.nan, math.inf, None, "1"])
def test_a_sensitivity_that_is_no_bound(sensitivity):
    with pytest.raises(SensitivityError, match="finite number >= 0"):
        NOISE.gaussian(np.zeros(2), standard_deviation=1.0, sensitivity=sensitivity)
    with pytest.raises(SensitivityError, match="finite number >= 0"):
        NOISE.discrete_gaussian(np.zeros(2, np.int64), scale=1.0, sensitivity=sensitivity)


class TestDiscrete:
    def test_counts_and_noise_add_up(self):
        counts = np.arange(12).reshape(3, 4)
        noise = NOISE.discrete_gaussian(np.zeros((3, 4), np.int64), scale=7.0, sensitivity=1.0)
        noisy = NOISE.discrete_gaussian(counts, scale=7.0, sensitivity=1.0)
        assert np.array_equal(noisy, counts + noise)
        assert noisy.dtype == np.int64
        assert NOISE.discrete_gaussian(np.zeros((0, 3), np.int64), scale=7.0, sensitivity=1.0).shape == (0, 3)

    @pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, 2.0**-21, 2.0**41])
    def test_scale_out_of_range(self, scale):
        with pytest.raises(InvalidValue, match="scale"):
            NOISE.discrete_gaussian(np.zeros(2, np.int64), scale=scale, sensitivity=1.0)

    @pytest.mark.parametrize("scale", [2.0**-20, 1e-3, 0.1, math.pi, 1e6, 2.0**40])
    def test_any_scale_ends(self, scale):
        noise = NOISE.discrete_gaussian(np.zeros(500, np.int64), scale=scale, sensitivity=1.0)
        assert np.abs(noise).max() <= 7 * scale
        assert scale < 0.2 or np.abs(noise).max() > scale

    def test_real_counts_are_refused(self):
        with pytest.raises(InvalidValue, match="gaussian"):
            NOISE.discrete_gaussian(np.zeros(2), scale=1.0, sensitivity=1.0)


class TestExactCoins:
    """Integers only: the probabilities are checked by counting over the words, not by sampling."""

    @given(st.integers(1, 1 << 41), st.integers(0, (1 << 64) - 1))
    @example(3, (1 << 64) - 2)  # the end of the last cycle, which chance never reaches
    @example(3, (1 << 64) - 1)  # the word behind it
    @example((1 << 41) - 1, (1 << 64) - 1)
    def test_a_word_in_the_incomplete_cycle_is_drawn_again(self, bound, word):
        cycles_end = (1 << 64) - (1 << 64) % bound
        script = Script(word, 5 % bound)
        drawn = uniform_below(bound, 1, script)[0]
        assert drawn == (word % bound if word < cycles_end else 5 % bound)
        assert len(script.left) == (1 if word < cycles_end else 0)

    @given(st.fractions(0, Fraction((1 << 70) - 1, 1 << 70), max_denominator=1 << 200), st.integers(0, (1 << 64) - 1))
    def test_a_digit_below_is_heads_and_above_is_tails(self, gamma, word):
        if word == _digit(gamma):
            return
        coin = _Digits([gamma], np.array([0]))
        assert bool(coin.toss(np.array([0]), Script(word))[0]) == (Fraction(word, 1 << 64) < gamma)

    @pytest.mark.parametrize("second", [0, 1, 2, 3, 4])
    def test_a_tie_is_settled_by_the_next_digit(self, second):
        gamma = Fraction(7, 1 << 64) + Fraction(2, 1 << 128)  # digits 7, 2
        coin = _Digits([gamma], np.array([0]))
        script = Script(7, second)
        assert bool(coin.toss(np.array([0]), script)[0]) == (second < 2)
        assert script.left == []

    def test_a_tie_to_the_last_digit_is_not_below(self):
        assert not _next_digits_below(Fraction(7, 1 << 64), Script())
        assert not _next_digits_below(Fraction(7, 1 << 64) + Fraction(2, 1 << 128), Script(2))

    def test_probability_zero_never_comes_up(self):
        assert not _Digits([Fraction(0)], np.array([0])).toss(np.array([0]), Script(0))[0]


class TestPoisson:
    def test_ids_in_the_order_given(self):
        ids = np.array([9, 2, 5, 0])
        assert NOISE.poisson_subset(ids, probability=1.0).tolist() == [9, 2, 5, 0]
        assert NOISE.poisson_subset(ids, probability=0.0).tolist() == []
        assert NOISE.poisson_subset(np.array([], np.int64), probability=0.5).tolist() == []

    def test_a_coin_belongs_to_its_id(self):
        """Removing, adding or reordering other records changes nobody's coin: also over the chunks it is drawn in."""
        ids = np.arange(3000)
        joined = set(NOISE.poisson_subset(ids, probability=0.3, step=5).tolist())
        for others in (ids[ids != 7], ids[::-1], ids[::3], np.append(ids, 10**7)):
            again = NOISE.poisson_subset(others, probability=0.3, step=5).tolist()
            assert set(again) - {10**7} == joined & set(others.tolist())

    def test_chunks_do_not_matter(self, monkeypatch):
        ids = np.arange(1000)
        whole = NOISE.poisson_subset(ids, probability=0.3)
        monkeypatch.setattr(sources_module, "_COINS_AT_ONCE", 64)
        assert np.array_equal(whole, NOISE.poisson_subset(ids, probability=0.3))

    def test_a_higher_probability_only_adds(self):
        ids = np.arange(2000)
        low, high = (set(NOISE.poisson_subset(ids, probability=q).tolist()) for q in (0.1, 0.2))
        assert low < high

    @pytest.mark.parametrize("probability", [0.1, 1 / 3, 1e-17, 5e-324, 1 - 2.0**-53, 1.0])
    def test_the_probability_in_force_is_rounded_down(self, monkeypatch, probability):
        """Words around the threshold: heads for exactly floor(q 2^53) of the 2^53 coins, never more than q asks for."""
        threshold = math.floor(Fraction(probability) * 2**53)
        edge = [word << 11 | 0x7FF for word in (threshold - 1, threshold) if 0 <= word < 1 << 53]
        monkeypatch.setattr(Stream, "words", lambda self, count: np.array(edge, dtype=np.uint64)[:count])
        joined = NOISE.poisson_subset(np.arange(len(edge)), probability=probability)
        assert joined.tolist() == ([0] if threshold else [])
        assert Fraction(threshold, 1 << 53) <= Fraction(probability)

    def test_refused(self):
        with pytest.raises(InvalidValue, match="negative"):
            NOISE.poisson_subset(np.array([3, -1]), probability=0.5)
        for probability in (-0.1, 1.1, math.nan):
            with pytest.raises(InvalidValue, match="probability"):
                NOISE.poisson_subset(np.arange(3), probability=probability)
        with pytest.raises(InvalidValue, match="step"):
            NOISE.poisson_subset(np.arange(3), probability=0.5, step=-1)


def test_an_empty_label_is_refused():
    with pytest.raises(InvalidValue, match="label"):
        SecureNoise().under("")


def test_no_public_seed_reaches_the_run_key():
    """Whoever knows the seeds of a run's public randomness must learn nothing of its noise."""

    def key_after_seeding() -> bytes:
        random.seed(7)
        np.random.seed(7)  # noqa: NPY002 - the state that np.random.bytes reads
        torch.manual_seed(7)
        return SecureNoise().key

    first, second = key_after_seeding(), key_after_seeding()
    assert len(first) == len(second) == 32
    assert first != second
