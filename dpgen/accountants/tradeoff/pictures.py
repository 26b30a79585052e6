"""Pictures of what an event costs, as SVG text: the hockey-stick curve, the trade-off curve, and the attack risk.

The same curves give the same bytes: element names are hashed with a fixed salt and no date is written. Colours are
those of Okabe and Ito, which people with any common colour vision tell apart; lines differ in dashes, too.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dpgen.accountants.decimals import rounded_down, rounded_up
from dpgen.accountants.gdp import gaussian_delta
from dpgen.accountants.tradeoff.curve import TradeoffCurve
from dpgen.accountants.tradeoff.gdp_fit import GdpParameter, gdp_parameter
from dpgen.accountants.tradeoff.privacy_curve import PrivacyCurve

_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
_PANEL = (4.9, 5.3)  # inches
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "dpgen",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": True,
    "legend.facecolor": "white",
    "legend.edgecolor": "white",
    "legend.framealpha": 0.93,
    "legend.fontsize": 8.8,
    "lines.linewidth": 2.0,
}
_WORTH = {
    "certified": "certified, rounding included",
    "bound": "proved in exact arithmetic",
    "approximation": "an approximation that proves nothing",
}

Draw = Callable[[Any], str]
"""Draws into matplotlib axes and returns the caption."""


def hockey_stick(curve: PrivacyCurve) -> str:
    """Delta against epsilon, on a logarithmic scale, with the Gaussian that is safe on the range drawn."""
    return _svg([lambda axes: draw_privacy_curve(axes, curve, gdp_parameter(curve))], "Privacy curve")


def tradeoff(curve: TradeoffCurve, privacy: PrivacyCurve) -> str:
    """False-negative against false-positive rate, with the Gaussian that is safe on `privacy`'s range."""
    return _svg([lambda axes: draw_tradeoff(axes, curve, gdp_parameter(privacy))], "Trade-off curve")


def attack_risk(curve: TradeoffCurve) -> str:
    """The share of members that an attack can find against its false-positive rate, both logarithmic."""
    return _svg([lambda axes: draw_attack_risk(axes, curve)], "Attack risk")


def three_panels(privacy: PrivacyCurve, curve: TradeoffCurve) -> str:
    """All three pictures side by side. `privacy` and `curve` are of the same event, relation and accountant."""
    privacy = privacy.joined(curve.privacy)  # every price makes every panel tighter
    curve, fit = TradeoffCurve(privacy), gdp_parameter(privacy)
    panels: list[Draw] = [
        lambda axes: draw_privacy_curve(axes, privacy, fit),
        lambda axes: draw_tradeoff(axes, curve, fit),
        lambda axes: draw_attack_risk(axes, curve),
    ]
    return _svg(panels, "Privacy curve, trade-off curve and attack risk")


def draw_privacy_curve(axes: Any, curve: PrivacyCurve, fit: GdpParameter | None) -> str:
    """The privacy curve into matplotlib axes, with the Gaussian of `fit` where there is one; returns the caption."""
    places = np.linspace(0.0, curve.epsilons[-1] or 1.0, 257)
    bounds = [curve.at(float(epsilon)) for epsilon in places]
    upper = np.asarray([bound.upper for bound in bounds])
    top, none = float(upper.max()) or 1.0, bool((upper == 0).any())
    floor = max(min(float(upper[upper > 0].min(initial=1.0)) / 3, top / 1e3), 1e-300)
    lower, upper = np.maximum([bound.lower for bound in bounds], floor), np.maximum(upper, floor)
    axes.fill_between(places, lower, upper, color=_BLUE, alpha=0.22, linewidth=0, label="the truth lies here")
    axes.plot(places, upper, color=_BLUE, label="promise: delta at most")
    if fit is not None and 0 < fit.safe.upper < np.inf:
        gaussian = [gaussian_delta(fit.safe.upper, float(epsilon)).estimate for epsilon in places]
        axes.plot(places, gaussian, color=_ORANGE, dashes=(5, 2), linewidth=1.5, label=_gaussian_name(fit))
    axes.set(yscale="log", xlabel="epsilon", ylabel="delta", title="Privacy curve")
    axes.set(xlim=(0, places[-1]), ylim=(floor, 1.6 * top))
    axes.legend(loc="lower left")
    return (
        f"Every point on the blue line is a promise: the event is (epsilon, delta)-private under {_words(curve)}. "
        f"Priced by {curve.accountant}, {_WORTH[curve.kind]}.{_fitted(fit)}"
        + (" On the lower edge delta is 0." if none else "")
    )


def draw_tradeoff(axes: Any, curve: TradeoffCurve, fit: GdpParameter | None) -> str:
    """The trade-off curve into matplotlib axes, with the Gaussian of `fit` where there is one; returns the caption."""
    rates = np.unique(np.concatenate([np.linspace(0.0, 1.0, 401), np.geomspace(1e-6, 1.0, 200)]))
    lower, _, upper = curve.values(rates)
    axes.plot([0, 1], [1, 0], color=_GREY, dashes=(1, 2), linewidth=1.3, label="blind guess: perfect privacy")
    axes.fill_between(rates, lower, upper, color=_BLUE, alpha=0.22, linewidth=0, label="the truth lies here")
    axes.plot(rates, lower, color=_BLUE, label="promise: no attack is below")
    if fit is not None and 0 < fit.safe.upper < np.inf:
        from scipy.special import ndtr, ndtri

        gaussian = ndtr(ndtri(1 - rates) - fit.safe.upper)  # G_mu: Dong, Roth, Su 2022, equation 6
        axes.plot(rates, gaussian, color=_ORANGE, dashes=(5, 2), linewidth=1.5, label=_gaussian_name(fit))
    axes.set(xlabel="false-positive rate of the attack", ylabel="false-negative rate", title="Trade-off curve")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(loc="upper right")
    return (
        f"Whoever tells two data sets apart that differ by {_difference(curve.privacy)} makes both errors; attacks "
        f"below the blue line do not exist. The band is at most {rounded_up(curve.width, 1)} high.{_fitted(fit)}"
    )


def draw_attack_risk(axes: Any, curve: TradeoffCurve) -> str:
    """The share of members found against the false-positive rate into matplotlib axes; returns the caption."""
    rates = np.geomspace(1e-5, 1.0, 300)
    lower, _, upper = curve.values(rates)
    axes.fill_between(rates, 1 - upper, 1 - lower, color=_GREEN, alpha=0.22, linewidth=0, label="the best attack")
    axes.plot(rates, 1 - lower, color=_GREEN, label="promise: no attack finds more")
    axes.plot(rates, rates, color=_GREY, dashes=(1, 2), linewidth=1.3, label="blind guess: perfect privacy")
    marked = np.asarray([1e-3, 1e-2, 1e-1])
    found = 1 - curve.values(marked)[0]
    axes.plot(marked, found, "o", color=_GREEN, markersize=5.5, zorder=3)
    for rate, share in zip(marked, found, strict=True):
        if share > 0.999:
            continue  # the caption says it, and the words would lie on each other
        text, offset = f"{_percent(share)} at {_percent(rate)}", (-7, 6)
        axes.annotate(text, (rate, share), xytext=offset, textcoords="offset points", ha="right", fontsize=8.8)
    axes.set(xscale="log", yscale="log", xlim=(1e-5, 1), ylim=(1e-5, 1.6), title="Attack risk")
    axes.set(xlabel="false-positive rate of the attack", ylabel="share of the members found")
    axes.legend(loc="lower right")
    right = found[1] / (found[1] + marked[1])
    advantage = curve.privacy.deltas[0].upper
    return (
        f"An attack with 1 % false alarms finds at most {_percent(found[1])} of the members; where half of the "
        f"candidates are in, at most {_percent(right)} of its accusations are right. Its advantage over guessing "
        f"is at most {rounded_up(advantage, 3)}."
    )


def _svg(panels: Sequence[Draw], title: str) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_PANEL[0] * len(panels), _PANEL[1]), facecolor="white")
        captions = []
        for i, draw in enumerate(panels):
            left, share = i / len(panels), 1 / len(panels)
            axes = figure.add_axes((left + 0.15 * share, 0.30, 0.79 * share, 0.60))
            captions.append(draw(axes))
            caption = "\n".join(textwrap.wrap(captions[-1], width=68))
            figure.text(left + 0.035 * share, 0.165, caption, va="top", fontsize=8.8, color="#333333", linespacing=1.35)
        text = io.StringIO()
        described = {"Date": None, "Title": title, "Description": " ".join(captions), "Creator": "dpgen"}
        figure.savefig(text, format="svg", metadata=described)
    return text.getvalue()


def _gaussian_name(fit: GdpParameter) -> str:
    return f"safe Gaussian fit: mu {rounded_up(fit.safe.upper, 4)}"


def _fitted(fit: GdpParameter | None) -> str:
    if fit is None or not 0 < fit.safe.upper < np.inf:
        return ""
    reach = (
        ""
        if fit.everywhere
        else f" at every epsilon up to {rounded_down(fit.largest_epsilon, 3)}; beyond, nothing is claimed"
    )
    return f" The event is at least as private as the dashed Gaussian{reach}."


def _words(curve: PrivacyCurve) -> str:
    return str(curve.relation).replace("_", "-")


def _difference(curve: PrivacyCurve) -> str:
    return "one record replaced" if str(curve.relation) == "replace_one" else "one record"


def _percent(share: float) -> str:
    """Of an upper end. Twelve digits are looked at: the allowance for rounding would turn 1 % into 1.01 %."""
    return f"{rounded_up(round(100 * share, 12), 3)} %"
