"""Processor time of a step, all routes in one process on the same rows, one thread.

In: forward, loss, backward, and for the private routes norms, clipping and the sum. Out: drawing the rows, noise,
optimizer, averages. A case keeps its rows for every number of views (64 rows are 64 examples of 1 view or 2 of 32), so
that what does not look at views, the non-private step and Opacus' ghost mode, is timed once per round for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.dp_sgd.cases import CLIP_NORM, Case
from benchmarks.dp_sgd.measuring import Rounds, processor_seconds, take_turns
from benchmarks.dp_sgd.opacus_routes import ABSENT, Ghost, Hooks
from benchmarks.dp_sgd.routes import Mapped, NonPrivate, Ours, Route
from benchmarks.record import Goal

LEAST_OVER_HOOKS, LEAST_OVER_GHOST = 1.35, 2.0
ROUTES: tuple[type[Route], ...] = (NonPrivate, Ours, *(() if ABSENT else (Hooks, Ghost)), Mapped)


@dataclass(frozen=True, slots=True)
class Speed:
    """One route, one case, one number of views. Ratios are over the non-private step of the same rounds."""

    case: str
    route: str
    views: int
    examples: int
    rows: int
    parameters: int
    seconds: float
    median_seconds: float
    ratio: float
    median_ratio: float
    unrest: float
    """Median over best seconds of the non-private step: 1 on a quiet machine."""


def speeds(case: Case, views: Sequence[int], repeats: int) -> Iterator[Speed]:
    """All routes at all numbers of views."""
    network, rows = case.network(), case.inputs()
    parameters = sum(p.numel() for p in network.parameters())
    made = {(route, k): route(network, views=k, clip_norm=CLIP_NORM) for route, k in _distinct(views)}
    steps = {_key(route, k): (lambda one=one: one.step(rows)) for (route, k), one in made.items()}
    found = take_turns(steps, repeats, processor_seconds)
    plain = found[_key(NonPrivate, 1)]
    for k in views:
        for route in ROUTES:
            rounds = found[_key(route, k if route.reads_views else 1)]
            yield _speed(case, route, k, parameters, rounds, plain)


def _distinct(views: Iterable[int]) -> Iterator[tuple[type[Route], int]]:
    for route in ROUTES:
        yield from ((route, k) for k in (views if route.reads_views else (1,)))


def _key(route: type[Route], views: int) -> str:
    return f"{route.name} {views}"


def _speed(case: Case, route: type[Route], views: int, parameters: int, rounds: Rounds, plain: Rounds) -> Speed:
    return Speed(
        case=case.name,
        route=route.name,
        views=views,
        examples=case.rows // views,
        rows=case.rows,
        parameters=parameters,
        seconds=rounds.best,
        median_seconds=rounds.median,
        ratio=rounds.over(plain),
        median_ratio=rounds.median_over(plain),
        unrest=plain.median / plain.best,
    )


def highest_ratio(views: int) -> float:
    """What our step may cost over the non-private one, on one thread."""
    if views >= 16:
        return 1.20
    return 1.25 if views >= 8 else 1.30


def goals(found: Sequence[Speed]) -> Iterator[Goal]:
    """The price against the non-private step, and what the peers cost against ours."""
    by_place = {(one.case, one.views, one.route): one for one in found}
    for (case, views, route), ours in by_place.items():
        if route != Ours.name:
            continue
        where = f"{case}, {views} views"
        yield Goal(f"time over non-private: {where}", ours.ratio, highest_ratio(views), at_least=False)
        for peer, bound in ((Hooks.name, LEAST_OVER_HOOKS), (Ghost.name, LEAST_OVER_GHOST)):
            if other := by_place.get((case, views, peer)):
                yield Goal(f"{peer} over dpgen: {where}", other.seconds / ours.seconds, bound, at_least=True)
