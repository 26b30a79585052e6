"""The price of a recorded plan, computed again: by the accountant that was claimed, and by an independent one."""

from __future__ import annotations

from collections.abc import Mapping

from dpgen import __version__
from dpgen.accountants import GdpAccountant, PldAccountant
from dpgen.accountants.base import Accountant, Bound
from dpgen.budget import BoundKind
from dpgen.errors import ConfigError, DpgenError
from dpgen.plugins.registry import Registry
from dpgen.record import RunRecord
from dpgen.verification.result import Check

_ROUNDING = 1e-6
"""How far, relatively, two machines may differ in the price of one plan by one accountant: the libraries under it
round differently. A claim too low by less than that is no different promise."""

_SECONDS: Mapping[str, tuple[str, ...]] = {
    "pld": ("prv", "rdp"),
    "prv": ("pld", "rdp"),
    "rdp": ("pld", "prv"),
}
"""Claimed accountant -> those independent of it, the tightest first; of plain Gaussians alone, see `second_name`."""

_CLAIMABLE: Mapping[BoundKind, tuple[str, ...]] = {
    "certified": ("certified", "bound"),
    "bound": ("bound",),
    "approximation": (),
}
"""Kind of a price -> the kinds that a guarantee may claim on its strength."""

_CLAIM_MEND = "The claim is too low: do not rely on it, and ask the owner for the record as the run wrote it."


def second_name(record: RunRecord, registry: Registry, *, wanted: str | None) -> str | None:
    """The name of the second accountant: the one `wanted`, else one fit for the plan; None when none is.

    Raises: `ConfigError` for a wanted one that cannot be a second opinion; `UnknownName`.
    """
    claimed = record.guarantee.accountant
    if wanted is None:
        candidates = _SECONDS.get(claimed, ("pld", "prv", "rdp"))
        if _plain_gaussians(record):
            # of plain Gaussians alone gdp, prv and pld evaluate one closed form; as the second, pld does without it
            candidates = ("pld", "rdp")
        return next((name for name in candidates if _prices(record, registry, name)), None)
    kind = registry.accountant(wanted).kind
    alike = _plain_gaussians(record) and wanted in ("gdp", "prv") and claimed in ("gdp", "prv", "pld")
    reasons = {
        "the claimed one": wanted == claimed,
        "one that only approximates": kind == "approximation",
        f"one that evaluates the same closed form as {claimed}": alike,
    }
    found = next((reason for reason, holds in reasons.items() if holds), None)
    if found is not None:
        raise ConfigError(
            f"expected a second accountant beside {claimed!r} whose bounds are proved; found {wanted!r}, {found}. "
            "Name another one, or leave the choice to dpgen."
        )
    return wanted


def recomputed(record: RunRecord, registry: Registry) -> Check:
    """The accountant that was claimed finds no more than was claimed, here and now."""
    name, claimed = record.guarantee.accountant, record.guarantee
    try:
        accountant = registry.accountant(name)()
        bound = _price(record, accountant)
    except DpgenError as error:
        return Check("price", False, f"expected the plan to be priced by the claimed accountant; {error}")
    if claimed.kind not in _CLAIMABLE[bound.kind]:  # a later dpgen may certify what was only a bound
        why = f"expected no more than a price of kind {bound.kind!r}, as {name} gives, and one that is proved; "
        why += f"found {claimed.kind!r} claimed. {_CLAIM_MEND}"
        return Check("price", False, why, name, bound)
    if not bound.upper <= claimed.epsilon_upper * (1 + _ROUNDING):
        why = f"expected epsilon {bound.upper:.8g}, as {name} finds; found {claimed.epsilon_upper:.8g}. "
        why += _other_version(record) or _CLAIM_MEND
        return Check("price", False, why, name, bound)
    why = f"{name} finds epsilon {bound.upper:.8g} again, within the {claimed.epsilon_upper:.8g} claimed"
    return Check("price", True, why, name, bound)


def _other_version(record: RunRecord) -> str:
    """What to do about a record of another dpgen, whose accountant may have enclosed the same price more tightly."""
    theirs = record.versions.get("dpgen", __version__)
    if theirs == __version__:
        return ""
    return f"This is dpgen {__version__}: verify with dpgen {theirs}, which wrote the record, before you mistrust it."


def not_refuted(record: RunRecord, registry: Registry, second: str | None) -> Check:
    """The claim is not below what a second, independent accountant proves that the plan costs at least."""
    claim, name = record.guarantee.epsilon_upper, "second price"
    if second is None:
        why = f"expected an accountant independent of {record.guarantee.accountant!r} that prices the plan; found none."
        return Check(name, False, f"{why} Install a plugin that brings one, and name it with --accountant.")
    try:
        bound = _price(record, _second(registry, second))
    except DpgenError as error:
        return Check(name, False, f"expected the plan to be priced by {second}; {error}")
    found = f"{second} without its closed form" if second == "pld" and _plain_gaussians(record) else second
    interval = f"{found} finds epsilon in [{bound.lower:.8g}, {bound.upper:.8g}]"
    if not bound.lower <= claim:
        return Check(name, False, f"{interval}; found {claim:.8g} claimed. {_CLAIM_MEND}", second, bound)
    return Check(name, True, f"{interval}, {_proof(bound.upper, claim)}", second, bound)


def _proof(upper: float, claim: float) -> str:
    if upper <= claim:
        return "and proves the claim too"
    if upper <= claim * (1 + _ROUNDING):
        return "and proves the claim to one part in a million"
    return "which neither refutes nor proves the claim"


def _second(registry: Registry, name: str) -> Accountant:
    """The accountant as a second opinion: pld without the closed form that it shares with gdp and prv."""
    kind = registry.accountant(name)
    return PldAccountant(closed_form=False) if kind is PldAccountant else kind()


def _plain_gaussians(record: RunRecord) -> bool:
    return GdpAccountant().supports(record.plan.event, relation=record.guarantee.relation)


def _prices(record: RunRecord, registry: Registry, name: str) -> bool:
    if name not in registry.accountants():
        return False
    kind = registry.accountant(name)
    return kind.kind != "approximation" and kind().supports(record.plan.event, relation=record.guarantee.relation)


def _price(record: RunRecord, accountant: Accountant) -> Bound:
    guarantee = record.guarantee
    return accountant.epsilon(record.plan.event, delta=guarantee.delta, relation=guarantee.relation)
