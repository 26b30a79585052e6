"""GaussianSum and NoisyHistogram: what counts, what is dropped, what it costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.errors import DataError, InvalidValue
from dpgen.events import DiscreteGaussian, Gaussian, PoissonSampled, SelfComposed
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen.mechanisms.histogram import NoisyHistogram
from dpgen.mechanisms.repeated_gaussian_sum import RepeatedGaussianSum
from dpgen.noise import SeededNoise

NO_NOISE = 2.0**-20  # the smallest scale of the discrete sampler: a non-zero draw has probability exp(-2^39)


def records(labels: list[int]) -> ArrayRecords:
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    return ArrayRecords(images, torch.tensor(labels, dtype=torch.int64))


def measure(mechanism, data, **context):
    arguments = dict(noise=SeededNoise(0), relation=ADD_OR_REMOVE_ONE, context=RunContext(**context))
    return mechanism._measure(data, **arguments)


def test_the_histogram_counts_the_first_distinct_cells_inside():
    ballots = torch.tensor([[0, 0, 1, 2], [7, -5, 3, 3], [-1, -1, -1, -1], [2, 1, 0, 3]])
    histogram = NoisyHistogram(cells=4, votes=2, scale=NO_NOISE, vote=lambda images, labels: ballots[labels])
    assert measure(histogram, records([0, 1, 2, 3])).tolist() == [1, 2, 1, 1]
    assert measure(histogram, records([0, 1, 2, 3]), physical_batch=1).tolist() == [1, 2, 1, 1]
    assert measure(histogram, records([])).tolist() == [0, 0, 0, 0]


def test_the_histogram_adds_integer_noise_of_its_scale():
    histogram = NoisyHistogram(cells=4000, votes=1, scale=5.0, vote=lambda images, labels: labels[:, None])
    noise = measure(histogram, records([]))
    assert noise.dtype == torch.int64
    assert float(noise.double().std()) == pytest.approx(5.0, rel=0.05)


def test_the_histogram_price():
    histogram = NoisyHistogram(cells=4, votes=3, scale=2.5, vote=lambda images, labels: labels[:, None])
    assert histogram.event(ADD_OR_REMOVE_ONE) == DiscreteGaussian(scale=2.5, touched=3)
    assert histogram.event(REPLACE_ONE) == DiscreteGaussian(scale=2.5, touched=6)
    assert histogram.sensitivity(ADD_OR_REMOVE_ONE) == math.sqrt(3)
    assert histogram.sensitivity(REPLACE_ONE) == math.sqrt(6)


@pytest.mark.parametrize("wrong", [{"cells": 0}, {"votes": 0}, {"scale": 0.0}], ids=str)
def test_the_histogram_refuses_settings_out_of_range(wrong):
    settings = dict(cells=4, votes=1, scale=1.0, vote=lambda images, labels: labels[:, None])
    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        NoisyHistogram(**(settings | wrong))


@pytest.mark.parametrize("vote", [lambda i, la: la, lambda i, la: la[:, None].float(), lambda i, la: la[:1, None]])
def test_the_histogram_refuses_misshapen_votes(vote):
    with pytest.raises(DataError, match="votes must be int64"):
        measure(NoisyHistogram(cells=4, votes=1, scale=1.0, vote=vote), records([0, 1]))


def test_an_error_inside_a_callable_does_not_quote_the_record():
    table = torch.eye(4, dtype=torch.int64)
    histogram = NoisyHistogram(cells=4, votes=1, scale=1.0, vote=lambda images, labels: table[labels])
    sums = GaussianSum(vectors=lambda i, la: table[la].float(), dimension=4, clip_norm=1.0, noise_multiplier=1.0)
    for mechanism in (histogram, sums):
        with pytest.raises(DataError, match="declared classes") as caught:
            measure(mechanism, records([0, 97]))
        assert "97" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_the_sum_clips_each_record_and_drops_what_is_not_finite():
    vectors = torch.tensor([[3.0, 4.0], [0.3, 0.4], [float("nan"), 1.0], [float("inf"), 0.0], [0.0, 0.0]])
    sums = GaussianSum(
        vectors=lambda images, labels: vectors[labels], dimension=2, clip_norm=1.0, noise_multiplier=0.0, batch=2
    )
    found = measure(sums, records([0, 1, 2, 3, 4]))
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([0.9, 1.2])
    assert measure(sums, records([])).tolist() == [0, 0]


def test_the_sum_adds_noise_of_multiplier_times_clip():
    sums = GaussianSum(vectors=lambda i, la: i.flatten(1), dimension=4000, clip_norm=3.0, noise_multiplier=0.5)
    assert float(measure(sums, records([])).std()) == pytest.approx(1.5, rel=0.05)
    assert sums.event(ADD_OR_REMOVE_ONE) == sums.event(REPLACE_ONE) == Gaussian(0.5)
    assert (sums.sensitivity(ADD_OR_REMOVE_ONE), sums.sensitivity(REPLACE_ONE)) == (3.0, 6.0)


def test_the_sum_refuses_another_dimension_than_declared():
    sums = GaussianSum(vectors=lambda i, la: i.flatten(1), dimension=3, clip_norm=3.0, noise_multiplier=0.5)
    with pytest.raises(DataError, match=r"\[records, 3\]"):
        measure(sums, records([0]))
    with pytest.raises(InvalidValue, match="dimension"):
        GaussianSum(vectors=lambda i, la: i, dimension=0, clip_norm=3.0, noise_multiplier=0.5)


def test_a_sum_for_each_class_costs_as_much_as_one():
    sums = GaussianSum(
        vectors=lambda i, la: torch.stack([la + 1.0, 2.0 * la + 2.0], 1),
        dimension=2,
        clip_norm=100.0,
        noise_multiplier=0.0,
        classes=3,
        batch=2,
    )
    assert measure(sums, records([0, 2, 2])).tolist() == [[1, 2], [0, 0], [6, 12]]
    assert sums.event(ADD_OR_REMOVE_ONE) == Gaussian(0.0)
    assert sums.sensitivity(ADD_OR_REMOVE_ONE) == 100.0
    assert measure(sums, records([])).shape == (3, 2)


@pytest.mark.parametrize("label", [3, 97, -1])
def test_a_label_outside_the_classes_of_a_sum_is_refused_and_not_quoted(label):
    sums = GaussianSum(vectors=lambda i, la: i.flatten(1), dimension=4, clip_norm=1.0, noise_multiplier=1.0, classes=3)
    with pytest.raises(DataError, match="declared classes") as caught:
        measure(sums, records([0, label]))
    assert str(label) not in str(caught.value)
    with pytest.raises(InvalidValue, match="classes"):
        GaussianSum(vectors=lambda i, la: i, dimension=4, clip_norm=1.0, noise_multiplier=1.0, classes=0)


def repeated(**changed):
    settings = dict(
        vectors=lambda i, la: torch.ones(len(i), 1),
        dimension=1,
        clip_norm=1.0,
        noise_multiplier=0.0,
        rounds=4,
        sampling_probability=0.5,
    )
    return RepeatedGaussianSum(**(settings | changed))


def test_each_round_sums_a_sample_of_its_own():
    counts = measure(repeated(), records([0] * 200))
    assert counts.shape == (4, 1)
    assert len(set(counts.flatten().tolist())) > 1
    assert all(70 < count < 130 for count in counts)  # 100 expected, deviation 7
    assert measure(repeated(sampling_probability=1.0), records([0] * 20)).tolist() == [[20]] * 4
    assert measure(repeated(classes=3), records([2] * 20)).shape == (4, 3, 1)


def test_each_round_has_noise_of_its_own_and_a_repetition_has_the_same():
    noisy = repeated(noise_multiplier=2.0, vectors=lambda i, la: torch.ones(len(i), 2000), dimension=2000)
    first, again = (measure(noisy, records([])) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert float(first.std()) == pytest.approx(2.0, rel=0.05)


def test_repeated_sums_are_charged_whole():
    price = SelfComposed(PoissonSampled(0.5, Gaussian(3.0)), 4)
    mechanism = repeated(noise_multiplier=3.0, clip_norm=2.0)
    assert mechanism.event(ADD_OR_REMOVE_ONE) == mechanism.event(REPLACE_ONE) == price
    assert (mechanism.sensitivity(ADD_OR_REMOVE_ONE), mechanism.sensitivity(REPLACE_ONE)) == (2.0, 4.0)


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"sampling_probability": 0.0}, {"sampling_probability": 1.5}, {"clip_norm": 0.0}], ids=str
)
def test_repeated_sums_refuse_settings_out_of_range(wrong):
    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        repeated(**wrong)


def test_ids_are_read_in_any_numbering():
    data = ArrayRecords(
        torch.full((3, 1, 1, 1), 255, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), np.array([2, 5, 9])
    )
    sums = GaussianSum(vectors=lambda i, la: i.flatten(1), dimension=1, clip_norm=1.0, noise_multiplier=0.0)
    assert measure(sums, data).tolist() == [3.0]
