"""A record as Markdown, each goal marked where it is judged: `python -m benchmarks.dp_sgd.table FILE [--into PAGE]`."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.dp_sgd.memory import HIGHEST_RATIO
from benchmarks.dp_sgd.opacus_routes import Ghost, Hooks
from benchmarks.dp_sgd.routes import Mapped, NonPrivate, Ours
from benchmarks.dp_sgd.speed import LEAST_OVER_GHOST, LEAST_OVER_HOOKS, highest_ratio

Line = dict[str, Any]
BEGIN, END = "<!-- tables of python -m benchmarks.dp_sgd -->", "<!-- end of the tables -->"
BUSY = 1.5
"""Load average, our own process included, above which others were at work too."""


def tables(record: dict[str, Any]) -> str:
    """Every section of the record, under a line that says when and where it was measured."""
    parts = [f"{RENDERERS[name](found['lines'])}\n\n{_where(found)}" for name, found in record.items()]
    goals = [goal for found in record.values() for goal in found["goals"]]
    missed = [goal for goal in goals if not goal["met"]]
    verdict = f"{len(goals) - len(missed)} of {len(goals)} goals met."
    if missed:
        verdict += "\n\n" + "\n".join(["Missed:", "", *map(_miss, missed)])
    return "\n\n".join([*parts, verdict]) + "\n"


def _where(found: dict[str, Any]) -> str:
    machine, load = found["machine"], found["load"]
    busy = f"load average {load[0]} before and {load[1]} after, on {machine['cores']} cores"
    busy += " (a loaded machine)." if max(load) > BUSY else "."
    quick = "" if found["complete"] else " Cut short: not all cases."
    quick += " Smoke run: the figures mean nothing." if found["quick"] else ""
    return (
        f"{found['date']}, {machine['device']} ({machine['processor']}), torch {machine['torch']}, Opacus "
        f"{machine['opacus']}, {found['repeats']} rounds, {busy}{quick}"
    )


def _miss(goal: dict[str, Any]) -> str:
    relation = ">=" if goal["at_least"] else "<="
    value = "not measured" if goal["value"] is None else f"{goal['value']:.3g}"
    return f"- {goal['name']}: {value} (goal {relation} {goal['bound']:g})"


def _speed(lines: Sequence[Line]) -> str:
    """One table a case."""
    parts = [
        "**Processor time of a step over the non-private step** on the same rows, smallest of the rounds (in brackets "
        "the median of the ratios within a round); then what Opacus takes over dpgen. Ghost mode clips rows, not "
        "examples: wrong semantics for more than one view."
    ]
    for case, group in groupby(lines, key=lambda line: line["case"]):
        found = list(group)
        first = found[0]
        caption = (
            f"{case}: {first['parameters'] / 1e6:.2f}M parameters, {first['rows']} rows, non-private "
            f"{first['seconds']:.3f} s (median over best {first['unrest']:.2f})"
        )
        header = ("views", "dpgen", "Opacus hooks", "Opacus ghost", "torch.func", "hooks / dpgen", "ghost / dpgen")
        body = [_speed_row(k, {line["route"]: line for line in of}) for k, of in _by_views(found)]
        parts.append(f"{caption}\n\n{_table(header, body)}")
    return "\n\n".join(parts)


def _speed_row(views: int, by_route: dict[str, Line]) -> list[str]:
    ours = by_route[Ours.name]
    cells = [str(views), f"{_mark(ours['ratio'], highest_ratio(views))} ({ours['median_ratio']:.2f})"]
    for route in (Hooks.name, Ghost.name, Mapped.name):
        other = by_route.get(route)
        cells.append(f"{other['ratio']:.2f} ({other['median_ratio']:.2f})" if other else "-")
    for route, bound in ((Hooks.name, LEAST_OVER_HOOKS), (Ghost.name, LEAST_OVER_GHOST)):
        other = by_route.get(route)
        cells.append(_mark(other["seconds"] / ours["seconds"], bound, at_least=True) if other else "-")
    return cells


def _memory(lines: Sequence[Line]) -> str:
    header = ("case", "views", "non-private, MiB", "dpgen", "Opacus hooks", "Opacus ghost", "torch.func")
    body = []
    for case, group in groupby(lines, key=lambda line: line["case"]):
        for views, of in _by_views(list(group)):
            by_route = {line["route"]: line for line in of}
            others = [by_route.get(route) for route in (Hooks.name, Ghost.name, Mapped.name)]
            body.append(
                [
                    case,
                    str(views),
                    f"{by_route[NonPrivate.name]['mebibytes']:.0f}",
                    _mark(by_route[Ours.name]["ratio"], HIGHEST_RATIO),
                    *(f"{other['ratio']:.2f}" if other else "-" for other in others),
                ]
            )
    return f"**Peak memory of a step over that of the non-private step.**\n\n{_table(header, body)}"


def _exactness(lines: Sequence[Line]) -> str:
    """The worst over cases and views, but ghost mode's contributions apart for one view and several."""
    header = ("route", "layout", "views", "norms", "clipped sum", "one example adds at most, in clip norms")
    kinds: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        precision = "" if line["dtype"] == "float32" else f", {line['dtype']}"
        several = "1" if line["views"] == 1 else "several"
        kinds.setdefault((line["route"] + precision, line["layout"], several), []).append(line)
    body = [
        [
            *kind,
            *(_worst(of, key, "{:.1e}") for key in ("norm_error", "sum_error")),
            _worst(of, "contribution", "{:.7f}"),
        ]
        for kind, of in sorted(kinds.items(), key=lambda item: item[0][1:])
    ]
    return (
        f"**Relative errors against autograd on one example at a time**, the largest found.\n\n{_table(header, body)}"
    )


def _worst(lines: Iterable[Line], key: str, form: str) -> str:
    values = [line[key] for line in lines if line[key] is not None and not math.isnan(line[key])]
    return form.format(max(values)) if values else "not said"


def _safe_path(lines: Sequence[Line]) -> str:
    header = ("rows a step", "gradients, s", "safe path, s", "share", "once a release, s")
    body = [
        [
            f"{one['rows']:.0f}",
            f"{one['gradients']:.2f}",
            f"{one['safety']:.4f}",
            f"{one['share']:.2%}",
            f"{one['once']:.2f}",
        ]
        for one in lines
    ]
    return f"**The safe path** over a bare loop of clipped sums, {lines[0]['case']}.\n\n{_table(header, body)}"


def _gpu(lines: Sequence[Line]) -> str:
    header = (
        "case",
        "views",
        "route",
        "setting",
        "rows",
        "rows/s",
        "over non-private",
        "memory",
        "memory over non-private",
    )
    body = [
        [
            one["case"], str(one["views"]), one["route"], one["setting"], str(one["rows"]),
            f"{one['rows_per_second']:.0f}", _or_dash(one["ratio"], "{:.2f}"), _or_dash(one["mebibytes"], "{:.0f} MiB"),
            _or_dash(one["memory_ratio"], "{:.2f}"),
        ]
        for one in lines
    ]  # fmt: skip
    return f"**On the GPU**, wall-clock time.\n\n{_table(header, body)}"


RENDERERS: dict[str, Callable[[Sequence[Line]], str]] = {
    "exactness": _exactness,
    "speed": _speed,
    "memory": _memory,
    "safe_path": _safe_path,
    "gpu": _gpu,
}


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _by_views(lines: Sequence[Line]) -> list[tuple[int, list[Line]]]:
    """The lines of each number of views, in rising order, whatever order they were taken in."""
    ordered = sorted(lines, key=lambda line: line["views"])  # groupby alone joins neighbours only
    return [(views, list(group)) for views, group in groupby(ordered, key=lambda line: line["views"])]


def _mark(value: float, bound: float, *, at_least: bool = False) -> str:
    met = value >= bound if at_least else value <= bound
    relation = ">=" if at_least else "<="
    return f"{value:.2f} met" if met else f"**{value:.2f} MISSED** ({relation} {bound:g})"


def _table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put_into(page: str, text: str) -> str:
    """`page` with `text` between the marks that say where the tables belong."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page must have the lines {BEGIN} and {END}; found none. Put them where the tables go.")
    return f"{head}{begin}\n\n{text}\n{end}{tail}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path, metavar="FILE", help="what --json wrote")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="replace the tables in this Markdown page instead")
    arguments = parser.parse_args()
    text = tables(json.loads(arguments.record.read_text()))
    if arguments.into:
        arguments.into.write_text(put_into(arguments.into.read_text(), text))
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
