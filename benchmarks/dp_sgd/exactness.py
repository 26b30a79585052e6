"""Every route against autograd on one example at a time, contiguous and channels-last.

The truth is taken in the precision of the route and added up in float64. `norm_error` and `sum_error` are relative.
`contribution` is the sensitivity by definition, the largest L2 distance between the sums with and without one example,
in units of the clip norm: taken from what the route returns, whatever norms it reports. Above 1 the noise is too small
for the epsilon that is printed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.dp_sgd.cases import CLIP_NORM, Case, Rows, row_losses
from benchmarks.dp_sgd.opacus_routes import Ghost
from benchmarks.dp_sgd.routes import Found, NonPrivate, Ours, Route
from benchmarks.dp_sgd.speed import ROUTES
from benchmarks.record import Goal

EXAMPLES = 3
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
HIGHEST = {"float32": (2e-6, 5e-6), "float64": (1e-12, 1e-12)}
"""Norms and sums."""


@dataclass(frozen=True, slots=True)
class Exactness:
    """How far one route is from the truth; NaN where it does not say its norms."""

    case: str
    route: str
    layout: str
    dtype: str
    views: int
    norm_error: float
    sum_error: float
    contribution: float


def exactness(case: Case, views: Sequence[int]) -> Iterator[Exactness]:
    """All private routes in float32, ours in float64 too."""
    for layout in LAYOUTS:
        for k in views:
            yield from _compare(case, layout, torch.float32, k, (r for r in ROUTES if r is not NonPrivate))
            yield from _compare(case, layout, torch.float64, k, (Ours,))


def _compare(
    case: Case, layout: str, dtype: torch.dtype, views: int, routes: Iterable[type[Route]]
) -> Iterator[Exactness]:
    network = case.network().to(dtype).to(memory_format=LAYOUTS[layout])
    rows = _rows(case, layout, dtype, EXAMPLES * views)
    expected, norms = one_at_a_time(network, rows, views)
    for route in routes:
        one = route(network, views=views, clip_norm=CLIP_NORM)
        found = one.step(rows)
        yield Exactness(
            case=case.name,
            route=route.name,
            layout=layout,
            dtype=str(dtype).removeprefix("torch."),
            views=views,
            norm_error=_norm_error(found, norms),
            sum_error=_length(found.sum[name].double() - e for name, e in expected.items())
            / _length(expected.values()),
            contribution=_contribution(one, rows, views),
        )


def _rows(case: Case, layout: str, dtype: torch.dtype, count: int) -> Rows:
    images, levels, labels = case.inputs(count)
    return images.to(dtype).contiguous(memory_format=LAYOUTS[layout]), levels.to(dtype), labels


def one_at_a_time(network: nn.Module, rows: Rows, views: int) -> tuple[dict[str, Tensor], list[float]]:
    """The clipped sum in float64 and the norms, by plain autograd on each example's mean loss."""
    names, norms = [name for name, _ in network.named_parameters()], []
    total = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in network.named_parameters()}
    for first in range(0, len(rows[0]), views):
        loss = row_losses(network, *(tensor[first : first + views] for tensor in rows)).mean()
        found = [g.double() for g in torch.autograd.grad(loss, list(network.parameters()))]
        norms.append(_length(found))
        for name, gradient in zip(names, found, strict=True):
            total[name] += gradient * min(1.0, CLIP_NORM / norms[-1])
    return total, norms


def _norm_error(found: Found, norms: Sequence[float]) -> float:
    """NaN too where norms are the rows', not the examples'."""
    if found.norms is None or len(found.norms) != len(norms):
        return math.nan
    return max(abs(float(f) - e) / e for f, e in zip(found.norms, norms, strict=True))


def _contribution(one: Route, rows: Rows, views: int) -> float:
    """Of each example alone, and removed from the others."""
    whole, lengths = one.step(rows).sum, []
    for first in range(0, len(rows[0]), views):
        alone = one.step(_select(rows, slice(first, first + views))).sum
        others = [row for row in range(len(rows[0])) if not first <= row < first + views]
        without = one.step(_select(rows, others)).sum
        lengths += [_length(alone.values()), _length(whole[name].double() - t for name, t in without.items())]
    return max(lengths) / CLIP_NORM


def _select(rows: Rows, which: slice | list[int]) -> Rows:
    images, levels, labels = rows
    return images[which].contiguous(memory_format=_layout(images)), levels[which], labels[which]


def _layout(images: Tensor) -> torch.memory_format:
    last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _length(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


def goals(found: Sequence[Exactness]) -> Iterator[Goal]:
    """Ours alone: the peers' errors are shown, not judged."""
    ours = [one for one in found if one.route == Ours.name]
    for dtype, (norm, total) in HIGHEST.items():
        mine = [one for one in ours if one.dtype == dtype]
        yield Goal(f"{dtype} norms, relative error", max(one.norm_error for one in mine), norm, at_least=False)
        yield Goal(f"{dtype} clipped sum, relative error", max(one.sum_error for one in mine), total, at_least=False)
    largest = max(one.contribution for one in ours)
    yield Goal("one example's contribution over the clip norm", largest, 1 + 1e-6, at_least=False)


def broken_promise(found: Sequence[Exactness]) -> str:
    """What Opacus' ghost mode lets through where it says that it clips, at one view and at several."""
    ghosts = [one for one in found if one.route == Ghost.name]
    lines = [
        f"Opacus ghost, {layout}, {_views(k)}: an example 'clipped to 1' has norm "
        f"{max(one.contribution for one in ghosts if (one.layout, one.views) == (layout, k)):.3f}."
        for layout, k in sorted({(one.layout, one.views) for one in ghosts}, key=lambda place: (place[1], place[0]))
    ]
    return "\n".join(lines)


def _views(count: int) -> str:
    return "1 view" if count == 1 else f"{count} views, each row clipped"
