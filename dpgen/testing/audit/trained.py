"""Rungs 3 and 4: whole trainings, judged with no hypothesis about the noise at all.

Without a hypothesis a bound can only be so high: m canaries, or n trainings, all told apart without an error, still
prove no more than a certain epsilon. Where the claim lies above that, the rung says so instead of passing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from dpgen.budget import REPLACE_ONE
from dpgen.mechanisms.dp_sgd import DpSgd
from dpgen.noise import SecureNoise
from dpgen.testing.audit.finding import Finding, control, judged
from dpgen.testing.audit.targets import DpSgdTarget
from dpgen.testing.statistics.crafted import CraftedRecords, crafted_dp_sgd, noised_sums
from dpgen.testing.statistics.epsilon_bound import EpsilonBound
from dpgen.testing.statistics.one_run import GUESSED_SHARES, one_run_bound, one_run_epsilon
from dpgen.testing.statistics.rates import Scores
from dpgen.testing.statistics.step_audit import Twin, clip_ignored
from dpgen.testing.statistics.two_sided import two_sided_bound

ONE_RUN, MANY_RUNS = 3, 4
LEVEL: Final = 1e-3
CANARIES: Final = (64, 128, 256, 512, 1024, 2048)
"""More canaries prove more, until the delta term of the theorem, which they multiply, eats it up."""

_MOST_RUNS: Final = 10_000
_MARGIN: Final = 1.2
"""A rung is climbed where it could prove this many times the claim: below, its control would be a matter of luck."""


def one_run(target: DpSgdTarget, *, seconds: float) -> Iterator[Finding]:
    """One training with many canaries, each in or out by its own coin; then one that ignores the clip."""
    canaries = max(CANARIES, key=lambda number: _provable(number, target.delta))
    begun = time.perf_counter()
    _one_run(target, 1, canaries, None)
    needed = 2 * (time.perf_counter() - begun) * target.count
    why = _why_not(target, most=_provable(canaries, target.delta), needed=needed, seconds=seconds)
    if why:
        yield _skipped(ONE_RUN, target, "one run", f"{canaries} canaries: {why}")
        return
    yield judged(ONE_RUN, target.label, _one_run(target, target.count, canaries, None))
    twin = _one_run(target, target.count, canaries, clip_ignored)
    yield control(ONE_RUN, target.label, "gradients not clipped", twin)


def _provable(canaries: int, delta: float) -> float:
    """What guesses that are all right would prove."""
    level = LEVEL / len(GUESSED_SHARES)
    guesses = (2 * max(1, int(share * canaries / 2)) for share in GUESSED_SHARES)
    return max(one_run_epsilon(canaries=canaries, guesses=n, correct=n, delta=delta, level=level) for n in guesses)


def _one_run(target: DpSgdTarget, steps: int, canaries: int, twin: Twin | None) -> EpsilonBound:
    took_part = np.random.default_rng().random(canaries) < 0.5
    mechanism = _training(target, steps, canaries)
    running = mechanism if twin is None else twin(mechanism)
    sums = noised_sums(running, CraftedRecords(took_part.astype(np.int8)), SecureNoise())
    return one_run_bound(sums.sum(0), took_part, delta=target.delta, level=LEVEL, claimed=target.epsilon)


def many_runs(target: DpSgdTarget, *, seconds: float) -> Iterator[Finding]:
    """As many trainings with one record, and without it, as the time allows; then as many that ignore the clip."""
    begun = time.perf_counter()
    for _ in range(3):
        _final_score(target, 1, None)
    each = (time.perf_counter() - begun) / 3
    runs = min(_MOST_RUNS, int(seconds / (4 * each)))  # with and without; the control as well
    # told apart without an error on the counted half, Clopper-Pearson leaves (level / 2)^(2 / runs)
    rate = (LEVEL / 2) ** (2 / runs) if runs >= 4 else 0.0
    most = math.log((rate - target.delta) / (1 - rate)) if 0.5 < rate < 1 else 0.0
    why = _why_not(target, most=most, needed=0.0, seconds=seconds)
    if why:
        yield _skipped(MANY_RUNS, target, "many runs", f"{runs} runs a side: {why}")
        return
    yield judged(MANY_RUNS, target.label, _many_runs(target, runs, None))
    yield control(MANY_RUNS, target.label, "gradients not clipped", _many_runs(target, runs, clip_ignored))


def _many_runs(target: DpSgdTarget, runs: int, twin: Twin | None) -> EpsilonBound:
    present, absent = (
        np.array([_final_score(target, sign, twin) for _ in range(runs)])
        for sign in (1, -1 if target.relation is REPLACE_ONE else 0)
    )
    attack = f"{2 * runs} trainings, last weights only"
    claim = {"delta": target.delta, "level": LEVEL, "claimed": target.epsilon}
    return two_sided_bound(present, absent, **claim, attack=attack)


def _final_score(target: DpSgdTarget, sign: int, twin: Twin | None) -> float:
    """How far the last weights lie in the direction of the only record."""
    mechanism = _training(target, target.count, 1)
    running = mechanism if twin is None else twin(mechanism)
    scores: Scores = noised_sums(running, CraftedRecords(np.array([sign], dtype=np.int8)), SecureNoise()).sum(0)
    return float(scores[0])


def _training(target: DpSgdTarget, steps: int, directions: int) -> DpSgd:
    return crafted_dp_sgd(
        noise_multiplier=target.noise,
        sampling_probability=target.sampling_probability,
        steps=steps,
        directions=directions,
    )


def _why_not(target: DpSgdTarget, *, most: float, needed: float, seconds: float) -> str:
    """Why this rung would be a waste of time, "" when it would not."""
    if most < _MARGIN * target.epsilon:
        return f"could prove at most epsilon {most:.3g}, and {target.epsilon:.3g} is claimed"
    return f"needs about {needed:.0f} s; {seconds:.0f} s are left" if needed > seconds else ""


def _skipped(rung: int, target: DpSgdTarget, check: str, why: str) -> Finding:
    return Finding(rung=rung, subject=target.label, check=check, outcome="skipped", why=why)
