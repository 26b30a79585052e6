"""Uniform choices among the records, filled up to a declared least number."""

from __future__ import annotations

import numpy as np
import pytest

from dpgen.errors import InvalidValue
from dpgen.noise import NO_RECORD, SecureNoise, SeededNoise

NOISE = SeededNoise(5)
IDS = np.array([3, 8, 9, 40], dtype=np.int64)


def test_every_draw_is_a_record_when_there_are_enough() -> None:
    for least in (1, 4):
        drawn = NOISE.choose(IDS, draws=300, least=least)
        assert set(drawn) == set(IDS)
        assert drawn.dtype == np.int64


def test_a_small_set_is_filled_and_an_empty_one_is_all_filling() -> None:
    drawn = NOISE.choose(IDS, draws=4000, least=16)
    assert set(drawn) == {*IDS, NO_RECORD}
    assert 0.72 < (drawn == NO_RECORD).mean() < 0.78  # 12 of 16; six standard deviations are 0.04
    assert (NOISE.choose(IDS[:0], draws=7, least=2) == NO_RECORD).all()
    assert NOISE.choose(IDS, draws=0, least=2).shape == (0,)


def test_equal_addresses_give_equal_choices_and_others_do_not() -> None:
    def drawn(noise, step=0):
        return noise.choose(np.arange(1000), draws=64, least=1, step=step)

    assert np.array_equal(drawn(NOISE), drawn(SeededNoise(5)))
    others = [drawn(NOISE, 1), drawn(NOISE.under("a")), drawn(SeededNoise(6)), drawn(SecureNoise(bytes(32)))]
    assert not any(np.array_equal(drawn(NOISE), other) for other in others)


@pytest.mark.parametrize("wrong", [{"draws": -1}, {"draws": 1.5}, {"least": 0}, {"least": True}])
def test_settings_out_of_range(wrong) -> None:
    with pytest.raises(InvalidValue):
        NOISE.choose(IDS, **({"draws": 3, "least": 1} | wrong))
