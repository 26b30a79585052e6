"""Gaussian draws made in the background: the same bits, whatever is prepared, taken, dropped or interrupted."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from dpgen.errors import SensitivityError
from dpgen.noise import SecureNoise, SeededNoise, ahead, sources
from dpgen.noise.ahead import DrawnAhead
from dpgen.testing.replay import record

SHAPES = {"weight": (300, 300), "bias": (300,), "scale": ()}


@pytest.fixture(autouse=True)
def every_draw_is_worth_a_thread(monkeypatch):
    monkeypatch.setattr(sources, "_DRAWS_WORTH_A_THREAD", 0)


def noised(noise, *, step: int = 3) -> list[np.ndarray]:
    return [
        noise.gaussian(np.ones(shape), standard_deviation=2.0, sensitivity=1.0, step=step, tensor=name)
        for name, shape in SHAPES.items()
    ]


def source() -> SecureNoise:
    return SecureNoise(bytes(range(32))).under("a")


def same(first, second) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_the_hint_changes_no_bit():
    prepared = source()
    prepared.prepare_gaussian(SHAPES, step=3)
    assert same(noised(prepared), noised(source()))
    assert same(noised(prepared), noised(source()))  # used up: drawn anew, the same again


@pytest.mark.parametrize(
    "hint",
    [
        {"shapes": SHAPES, "step": 4},
        {"shapes": {"weight": (300, 299), "other": (5,)}, "step": 3},
        {"shapes": {"weight": (90_000,)}, "step": 3},
        {"shapes": {}, "step": 3},
    ],
    ids=["another step", "another shape", "the same size", "nothing"],
)
def test_a_wrong_hint_changes_no_bit(hint):
    prepared = source()
    prepared.prepare_gaussian(**hint)
    assert same(noised(prepared), noised(source()))


def test_draws_of_one_label_are_not_given_to_another():
    run = SecureNoise(bytes(range(32)))
    asked, prepared = run.under("a"), run.under("b")
    prepared.prepare_gaussian(SHAPES, step=3)
    assert same(noised(asked), noised(source()))
    assert not same(noised(prepared), noised(source()))


def test_what_was_prepared_is_given_away_once_and_never_shared():
    """Noise is scaled in place: a draw kept for a second caller would be another one by then."""
    prepared = source()
    prepared.prepare_gaussian(SHAPES, step=3)
    first = noised(prepared)
    assert not any(np.shares_memory(one, other) for one, other in zip(first, noised(prepared), strict=True))


def test_the_prepared_draws_are_used(monkeypatch):
    prepared = source()
    prepared.prepare_gaussian(SHAPES, step=3)
    expected = noised(source())
    monkeypatch.setattr(SecureNoise, "_standard_normal", None)  # drawing now would fail
    prepared._ahead.take((3, "not asked for"), (1,))
    assert same(noised(prepared), expected)


def test_few_draws_start_no_thread(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(ahead, "ThreadPoolExecutor", None)
    source().prepare_gaussian({"bias": (300,)}, step=0)


def test_record_passes_the_hint_on():
    def run(noise):
        noise.prepare_gaussian(SHAPES, step=3)
        return noised(noise)

    plain, hinted = record(noised, seed=1), record(run, seed=1)
    assert [call.address for call in plain.calls] == [call.address for call in hinted.calls]
    assert same([call.released for call in plain.calls], [call.released for call in hinted.calls])


def background() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("dpgen-noise")]


def wait_for_no_threads(seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while background() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not background()


def test_no_thread_is_left_after_an_error():
    """A value that is refused is raised at once; the threads end with their draws."""
    prepared = SeededNoise(0)
    prepared.prepare_gaussian(SHAPES, step=0)
    with pytest.raises(SensitivityError):
        prepared.gaussian(np.full((300, 300), np.nan), standard_deviation=1.0, sensitivity=1.0, tensor="weight")
    wait_for_no_threads()


def test_dropped_draws_are_not_made():
    drawing, go_on, made = threading.Event(), threading.Event(), []

    def draw(place, shape):
        drawing.set()
        go_on.wait(10)
        made.append(place)
        return np.zeros(shape)

    begun = DrawnAhead()
    begun.start(draw, {(0, str(i)): (1,) for i in range(100)})
    assert drawing.wait(10)
    begun.start(draw, {})
    go_on.set()
    wait_for_no_threads()
    assert len(made) <= ahead._THREADS
    assert begun.take((0, "99"), (1,)) is None


def test_an_error_while_drawing_reaches_the_caller():
    def draw(place, shape):
        raise MemoryError

    begun = DrawnAhead()
    begun.start(draw, {(0, "w"): (1,)})
    with pytest.raises(MemoryError):
        begun.take((0, "w"), (1,))
