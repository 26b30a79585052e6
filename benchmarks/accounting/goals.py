"""What was promised, and whether it was kept: each section measures, prints its table and judges its goals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks.accounting import calibration, once, soundness, speed
from benchmarks.accounting.contestants import WORKLOADS, pld
from benchmarks.record import Goal

Section = Callable[[bool, int], tuple[list[dict[str, Any]], list[Goal]]]
LIMIT = 75.0  # seconds that a peer gets in a process of its own
WIDTHS = {"A": 1e-3, "B": 1e-3, "C1": 1e-3, "C2": 1e-3, "D": 1e-2, "E": 5e-2, "F": 1e-3, "G": 1e-3}


def sound(quick: bool, _: int) -> tuple[list[dict[str, Any]], list[Goal]]:
    """Soundness: the truth inside every bracket"""
    ours = list(soundness.ours(quick))
    theirs = [] if quick else list(soundness.peers(LIMIT))
    for one in theirs:
        if one.violation:
            print(f"  peer below the truth: {one.contestant} on {one.case}: {one.upper:.6f} < {one.truth:.6f}")
    for one in (one for one in ours if one.violation):
        print(f"  VIOLATION by {one.violation:.3g}: {one}")
    goals = [
        Goal(f"violations in {len(ours)} cases", sum(one.violation > 0 for one in ours), 0, at_least=False),
        Goal("slowest case, seconds", max(one.seconds for one in ours), 10.0, at_least=False),
    ]
    for workload in WORKLOADS:
        widths = [one.width for one in ours if one.case.startswith(f"{workload} at ")]
        if widths:
            goals.append(Goal(f"width of {workload} over its deltas", max(widths), WIDTHS[workload], at_least=False))
    return [asdict(one) | {"width": one.width} for one in (*ours, *theirs)], goals


def fast(_: bool, repeats: int) -> tuple[list[dict[str, Any]], list[Goal]]:
    """Speed: the peer's seconds over ours"""
    rows, goals = [], []
    for race in speed.races(repeats):
        ours = f"{race.ours.contestant} {race.ours.seconds:.4f} s" if race.ours else "nothing good enough"
        print(f"  {race.workload:3} {race.peer.contestant} {race.peer.seconds:.3f} s, {ours}")
        rows.append(asdict(race))
        goals.append(
            Goal(
                f"{race.workload} against {race.peer.contestant}, {race.condition}",
                race.ratio,
                race.goal,
                at_least=True,
            )
        )
    return rows, goals


def mixed(quick: bool, repeats: int) -> tuple[list[dict[str, Any]], list[Goal]]:
    """The mixed list F: 200 different steps"""
    if quick:
        return [], []
    ours, theirs = speed.mixed_list(repeats, LIMIT)
    for one in (ours, *theirs):
        print(f"  {one.contestant:50} {one.seconds:8.3f} s   width {one.width:.2g}   error {one.error:.2g}")
    quickest = min((one.seconds for one in theirs), default=math.nan)
    goal = Goal("F against the fastest peer, whatever its error", quickest / ours.seconds, 10.0, at_least=True)
    return [asdict(one) for one in (ours, *theirs)], [goal]


def patient(quick: bool, _: int) -> tuple[list[dict[str, Any]], list[Goal]]:
    """Workload E: the width after 1, 10 and 60 seconds"""
    if quick:
        return [], []
    found = speed.patience((1.0, 10.0, 60.0))
    for limit, one in zip((1, 10, 60), found, strict=True):
        print(f"  within {limit:2} s: width {one.width:.3g} in {one.seconds:.2f} s ({one.contestant})")
    return [asdict(one) for one in found], [Goal("E within 60 s, width", found[-1].width, 5e-2, at_least=False)]


def calibrated(quick: bool, repeats: int) -> tuple[list[dict[str, Any]], list[Goal]]:
    """Calibration to epsilon 10, noise to 1e-4"""
    if quick:
        return [], []
    found, goals = list(calibration.calibrations(repeats)), []
    for one in found:
        print(
            f"  {one.workload}: ours {one.noise_multiplier:.6f} in {one.seconds:.3f} s, "
            f"dp-accounting {one.peer_noise_multiplier:.6f} in {one.peer_seconds:.2f} s"
        )
        goals.append(Goal(f"calibration of {one.workload}, seconds", one.seconds, 1.0, at_least=False))
        goals.append(Goal(f"calibration of {one.workload} against dp-accounting", one.ratio, 20.0, at_least=True))
    return [asdict(one) for one in found], goals


def small(quick: bool, _: int) -> tuple[list[dict[str, Any]], list[Goal]]:
    """Memory over import, and no deep-learning library"""
    rows = [
        line | {"workload": workload}
        for workload in WORKLOADS
        if not (quick and workload == "E")
        for line in once.ask_apart(pld().name, workload, (1e-5,), LIMIT)
    ]
    return rows, [
        Goal("largest memory over import, MiB", max(row["mebibytes"] for row in rows), 150.0, at_least=False),
        Goal("processes that imported torch", sum(row["torch"] for row in rows), 0, at_least=False),
        Goal("workloads that answered", sum("upper" in row for row in rows), len(rows), at_least=True),
    ]


SECTIONS: dict[str, Section] = {
    "soundness": sound,
    "speed": fast,
    "mixed_list": mixed,
    "patience": patient,
    "calibration": calibrated,
    "memory": small,
}
