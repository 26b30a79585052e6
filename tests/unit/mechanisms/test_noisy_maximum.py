from __future__ import annotations

import numpy as np
import pytest
import torch

from dpgen.accountants import PldAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.errors import DataError, InvalidValue, SensitivityError
from dpgen.events import EpsilonDelta
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.noisy_maximum import NoisyMaximum
from dpgen.noise import SeededNoise


def records(labels: list[int]) -> ArrayRecords:
    return ArrayRecords(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), torch.tensor(labels))


def own_class(images, labels):
    return torch.nn.functional.one_hot(labels, 4)


def measured(mechanism: NoisyMaximum, data: ArrayRecords, seed: int = 0) -> int:
    context = RunContext()
    return int(mechanism._measure(data, noise=SeededNoise(seed), relation=ADD_OR_REMOVE_ONE, context=context))


@pytest.mark.parametrize("scale", [1, 3, 10, 997])
def test_price_does_not_depend_on_the_candidates_and_is_never_rounded_down(scale: int) -> None:
    for candidates in (1, 15, 1000):
        mechanism = NoisyMaximum(candidates=candidates, scale=scale, ballot=own_class)
        for relation, moves in ((ADD_OR_REMOVE_ONE, 1), (REPLACE_ONE, 2)):
            event = mechanism.event(relation)
            assert isinstance(event, EpsilonDelta)
            assert event.delta == 0
            assert moves / scale < event.epsilon <= moves / scale * (1 + 1e-15)


def test_price_by_the_certified_accountant() -> None:
    event = NoisyMaximum(candidates=9, scale=10, ballot=own_class).event(ADD_OR_REMOVE_ONE)
    assert PldAccountant().epsilon(event, delta=1e-6, relation=ADD_OR_REMOVE_ONE).upper == pytest.approx(0.1, rel=1e-3)


def test_a_clear_winner_wins_and_small_leads_do_not_always() -> None:
    mechanism = NoisyMaximum(candidates=4, scale=2, ballot=own_class)
    assert measured(mechanism, records([2] * 200 + [0] * 50 + [3] * 50)) == 2
    close = records([1] * 10 + [2] * 11)
    assert {measured(mechanism, close, seed) for seed in range(30)} >= {1, 2}


def test_a_record_counts_once_for_each_candidate_whatever_the_ballot_returns() -> None:
    def shouting(images, labels):
        return 1000.0 * (labels == 1)[:, None] * torch.tensor([0.0, 1.0, 0.0, 0.0]) + own_class(images, labels)

    mechanism = NoisyMaximum(candidates=4, scale=1, ballot=shouting)
    assert measured(mechanism, records([2] * 100 + [1] * 3)) == 2


def test_wrong_settings_and_ballots_are_refused_without_content() -> None:
    for wrong in ({"candidates": 0}, {"scale": 0}, {"scale": 1.5}):
        with pytest.raises(InvalidValue, match=next(iter(wrong))):
            NoisyMaximum(**({"candidates": 4, "scale": 2, "ballot": own_class} | wrong))
    narrow = NoisyMaximum(candidates=5, scale=2, ballot=own_class)
    with pytest.raises(DataError, match=r"\[records, 5\]") as refusal:
        measured(narrow, records([3] * 7))
    assert "7" not in str(refusal.value)


def test_geometric_noise_refuses_what_it_cannot_do() -> None:
    noise = SeededNoise(0)
    with pytest.raises(InvalidValue, match="scale"):
        noise.geometric(np.zeros(3, dtype=np.int64), scale=2**41, sensitivity=1)
    with pytest.raises(InvalidValue, match="integers"):
        noise.geometric(np.zeros(3), scale=2, sensitivity=1)
    with pytest.raises(SensitivityError):
        noise.geometric(np.zeros(3, dtype=np.int64), scale=2, sensitivity=float("inf"))
