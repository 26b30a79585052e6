"""Does a record agree with itself? Every fact that is written in two places is compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from dpgen.budget import EARLIER_RELEASE, VALIDATION
from dpgen.config import PrivacyConfig
from dpgen.errors import DpgenError
from dpgen.events import EpsilonDelta
from dpgen.record import NOT_PRIVATE, RunRecord, caveats
from dpgen.verification.result import Check, check

_MEND = "Ask the owner for the record as the run wrote it."


def facts_agree(record: RunRecord) -> Check:
    """Guarantee, budget, configuration and declared facts state the same numbers and names."""
    wrong = [f"expected {what} {expected!r}; found {found!r}." for what, expected, found in _twice(record)]
    wrong += _over_budget(record)
    guarantee = record.guarantee
    fine = f"delta={guarantee.delta:.6g}, {guarantee.relation}, accountant {guarantee.accountant} wherever stated"
    return check("facts", [*wrong, _MEND] if wrong else [], fine)


def caveats_are_stated(record: RunRecord) -> Check:
    """Each caveat that applies is beside the guarantee, and the noise was secret."""
    tuning = str(_table(record, "evaluation").get("tuning", "not_stated"))
    due = caveats(
        record.plan,
        record.budget,
        records=_records(record),
        private=record.private,
        tuning=tuning,
        public_release=_public_release(record),
    )
    missing = [text for text in due if text not in record.guarantee.caveats]
    wrong = [f"expected the caveat {text!r}; found it missing. {_MEND}" for text in missing]
    if not record.private or NOT_PRIVATE in record.guarantee.caveats:
        wrong += ["expected secret noise; found that of a test double, so nothing is protected. Run it again without."]
    return check("caveats", wrong, f"{len(due)} apply and are stated; the noise was secret")


def charges_are_planned(record: RunRecord) -> Check:
    """What was charged is in the plan, in its order; a run may leave charges of its plan unused."""
    planned, charged = record.plan.charges, record.charges
    foreign = [f"{charge.label!r}: {charge.event}" for charge in charged if charge not in planned]
    if foreign:
        wrong = [f"expected charges of the plan alone; found {', '.join(foreign)} outside it. {_MEND}"]
    elif charged != planned[: len(charged)]:
        order = ", ".join(repr(charge.label) for charge in charged)
        wrong = [f"expected charges in the order of the plan, each once; found {order}. {_MEND}"]
    else:
        wrong = []
    return check("plan", wrong, f"{len(charged)} of {len(planned)} planned charges were made, in order")


def _twice(record: RunRecord) -> Iterator[tuple[str, object, object]]:
    """(what, expected, found) of each fact that differs between two places of the record."""
    for what, expected, found in (*_numbers(record), *_names(record), *_lineage(record), *_choice(record)):
        if expected != found:
            yield what, expected, found


def _numbers(record: RunRecord) -> Iterator[tuple[str, object, object]]:
    guarantee, budget, data = record.guarantee, record.budget, record.data
    declared = _table(record, "data")
    yield "the budget's delta", budget.delta, guarantee.delta
    yield "the budget's relation", str(budget.relation), str(guarantee.relation)
    yield "the configured budget", _configured_budget(record), budget
    yield "data.records", declared.get("records", data.get("nominal_records")), data.get("nominal_records")
    classes = data.get("class_names")
    yield "data.classes", declared.get("classes", classes), classes
    yield "data.unit", declared.get("unit"), data.get("unit")
    images = data.get("max_images_per_person")
    yield "data.max_images_per_person", declared.get("max_images_per_person"), images
    yield "the group's guarantee", True, _group_follows(record)


def _names(record: RunRecord) -> Iterator[tuple[str, object, object]]:
    privacy, run = _table(record, "privacy"), _table(record, "run")
    yield "privacy.accountant", privacy.get("accountant"), record.guarantee.accountant
    yield "method.name", _table(record, "method").get("name"), record.generator
    yield "run.name", run.get("name"), record.name
    yield "run.seed", run.get("seed"), record.seeds.get("run")


def _lineage(record: RunRecord) -> Iterator[tuple[str, object, object]]:
    """What an earlier release cost is the first charge of the plan, and nobody declared that it costs nothing."""
    if EARLIER_RELEASE in record.plan:
        yield "the first charge, with an earlier release", EARLIER_RELEASE, record.plan.charges[0].label
        yield "data.public_release", "charged", _public_release(record)


def _public_release(record: RunRecord) -> str:
    return str(_table(record, "data").get("public_release", "charged"))


def _choice(record: RunRecord) -> Iterator[tuple[str, object, object]]:
    """A noisy validation is the last charge of the plan, within its share, and is what chose; else there is none."""
    wanted, selection = _table(record, "evaluation"), record.selection or {}
    noisy = wanted.get("selection") == "noisy_validation"
    yield "a charge of a noisy validation", noisy, VALIDATION in record.plan
    yield "the charge of the choice", VALIDATION if noisy else None, selection.get("charge")
    if noisy:
        yield "the noisy validation's charge within its share, last", True, _within_share(record, wanted)


def _within_share(record: RunRecord, wanted: Mapping[str, Any]) -> bool:
    share, last = wanted.get("budget_share"), record.plan.charges[-1:]
    if not isinstance(share, int | float) or not last or last[0].label != VALIDATION:
        return False
    event, limit = last[0].event, share * record.budget.epsilon
    return (
        isinstance(event, EpsilonDelta)
        and event.delta == 0
        and (event.epsilon <= limit or _close(event.epsilon, limit))
    )


def _over_budget(record: RunRecord) -> list[str]:
    claimed, budget = record.guarantee.epsilon_upper, record.budget.epsilon
    return [] if claimed <= budget else [f"expected epsilon within the budget {budget!r}; found {claimed!r}."]


def _configured_budget(record: RunRecord) -> object:
    """The budget that the configuration means; the reason, where it means none."""
    try:
        return PrivacyConfig.model_validate(dict(_table(record, "privacy"))).budget(_records(record))
    except (ValueError, DpgenError) as error:
        return f"unreadable ({type(error).__name__})"


def _group_follows(record: RunRecord) -> bool:
    """Is the guarantee for a person's images the one that follows from that for one image?"""
    size, group = record.data.get("max_images_per_person"), record.group
    if record.data.get("unit") != "person":
        return group is None
    if group is None or group.get("size") != size or not isinstance(size, int) or size < 1:
        return False
    found = group.get("epsilon"), group.get("delta")
    return all(map(_close, found, record.guarantee.for_group(size)))


def _close(found: object, expected: float) -> bool:
    """Equal but for the last digits, in which e^epsilon differs from machine to machine."""
    return isinstance(found, int | float) and math.isclose(found, expected, rel_tol=1e-9)


def _records(record: RunRecord) -> int:
    """The declared number of records; 1, which no run has, where none is stated."""
    records = record.data.get("nominal_records")
    return records if isinstance(records, int) and records > 0 else 1


def _table(record: RunRecord, name: str) -> Mapping[str, Any]:
    table = record.config.get(name)
    return table if isinstance(table, Mapping) else {}
