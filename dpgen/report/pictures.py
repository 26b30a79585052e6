"""The curves of a report as SVG that is part of the page: its text is text, its colours those of the page.

Without scripts or files beside it, it turns dark with the page and prints in black on white. Equal curves give equal
bytes. Names inside are made unique, because several pictures share one page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape

from dpgen.accountants.tradeoff import PrivacyCurve, TradeoffCurve
from dpgen.accountants.tradeoff.pictures import draw_privacy_curve, draw_tradeoff
from dpgen.record import RunRecord

_SIZE = (4.6, 3.9)  # inches of 72 units: on a phone one unit is about one pixel
_INK, _SOFT, _LINE, _PAPER, _CURVE, _CLAIM = "#101112", "#767676", "#e4e4e4", "#fefefe", "#0072b2", "#d55e00"
_VARIABLES = {_INK: "ink", _SOFT: "soft", _LINE: "line", _PAPER: "paper", _CURVE: "curve", _CLAIM: "claim"}
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "dpgen",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 11.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.8,
    "legend.facecolor": _PAPER,
    "legend.edgecolor": _PAPER,
    "legend.framealpha": 1.0,
    "legend.fontsize": 11,
    "lines.linewidth": 2.2,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
}
_FONT = re.compile(r"font: ([\d.]+)px [^;\"]*|font-size: ([\d.]+)px; font-family: [^;]*")


def privacy_picture(curve: TradeoffCurve, record: RunRecord) -> Markup:
    """Delta against epsilon, the claim of `record` marked."""
    return _privacy_picture(curve.privacy, record.guarantee.epsilon_upper, record.guarantee.delta)


@lru_cache(maxsize=16)  # the released and the internal page draw alike
def _privacy_picture(curve: PrivacyCurve, epsilon: float, delta: float) -> Markup:
    def draw(axes: Any) -> None:
        draw_privacy_curve(axes, curve, None)
        right = max(min(axes.get_xlim()[1], 1.2 * epsilon), 1.05 * epsilon, 1e-3)
        axes.set_xlim(0, right)
        axes.set(xlabel="ε (epsilon)", ylabel="δ (delta)")
        floor = max(curve.at(right).upper / 3, 1e-12)
        axes.set_ylim(min(floor, delta / 10), 1.6)
        axes.plot(epsilon, delta, "o", color=_CLAIM, markersize=8, label="this release")
        _finish(axes, "lower left")

    return _inline(draw, "privacy-curve", "Privacy curve: delta against epsilon")


@lru_cache(maxsize=16)
def tradeoff_picture(curve: TradeoffCurve) -> Markup:
    """The least false-negative rate at each false-positive rate."""

    def draw(axes: Any) -> None:
        draw_tradeoff(axes, curve, None)
        axes.set(ylabel="members missed (false negatives)", xlabel="false alarms (false positives)", aspect="auto")
        _finish(axes, "upper right")

    return _inline(draw, "tradeoff-curve", "Trade-off curve: members missed against false alarms")


def _finish(axes: Any, place: str) -> None:
    axes.set_title("")
    axes.legend(loc=place)


def _inline(draw: Callable[[Any], None], name: str, title: str) -> Markup:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE)
        figure.patch.set_alpha(0)
        axes = figure.add_axes((0.165, 0.15, 0.80, 0.825))
        axes.patch.set_alpha(0)
        draw(axes)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return Markup(_for_page(text.getvalue(), name, title))


def _for_page(svg: str, name: str, title: str) -> str:
    """A stand-alone SVG file as an element of the page `name`: its own names, the page's colours and font."""
    svg = svg[svg.index("<svg") :]
    for unwanted in (
        r"<metadata>.*?</metadata>\s*",
        r"<!--.*?-->\s*",
        r"<style.*?</style>\s*",
    ):  # styles are the page's
        svg = re.sub(unwanted, "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(?:xlink:)?href="#', 'href="#', svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = _FONT.sub(lambda found: f"font-size: {found[1] or found[2]}px", svg)
    svg = re.sub(r"\s*\n\s*", " ", svg).strip()
    head = f'<svg class="curve" role="img" aria-labelledby="{name}-title" viewBox="{_view_box(svg)}">'
    body = svg[svg.index(">") + 1 :]
    return f'{head}<title id="{name}-title">{escape(title)}</title>{body}'


def _view_box(svg: str) -> str:
    found = re.search(r'viewBox="([^"]+)"', svg)
    assert found is not None, "matplotlib writes a view box"
    return found[1]
