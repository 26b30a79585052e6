"""The checks of mechanisms: the shared ones, and what only a mechanism can get wrong."""

from __future__ import annotations

import copy
import math
from typing import Any, Final

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, NeighboringRelation
from dpgen.data.datasets import PrivateDataset
from dpgen.events import DpEvent
from dpgen.mechanisms.base import Records
from dpgen.testing.conformance.check import Check
from dpgen.testing.conformance.contents import settled, walk
from dpgen.testing.conformance.failure import require
from dpgen.testing.conformance.neighbour_checks import NEIGHBOUR_CHECKS
from dpgen.testing.conformance.private_checks import PRIVATE_CHECKS
from dpgen.testing.conformance.trace_checks import TRACE_CHECKS
from dpgen.testing.conformance.trials import MechanismTrial
from dpgen.testing.tape import SELECTIONS


def check_event_follows_from_public_settings(trial: MechanismTrial) -> None:
    """Event and sensitivity are the same before a measurement and after it, and the event can be written down."""
    before, mend = _statements(trial.subject), "Compute `event` and `sensitivity` from the fields of the mechanism."
    trial.recorded.require_success()
    after = _statements(trial.recorded.value[0])
    rule = "event and sensitivity must follow from public settings alone"
    require(before == after, rule, found="others after a measurement", mend=mend)
    for relation in NeighboringRelation:
        event = trial.subject.event(relation)
        same = isinstance(event, DpEvent) and DpEvent.from_json(event.to_json()) == event
        require(same, "an event must survive its JSON", found=type(event).__name__, mend="Build it from dpgen.events.")


def check_sensitivity_is_a_bound(trial: MechanismTrial) -> None:
    """Under both relations a finite number, and replacing moves at most twice as far as adding or removing."""
    one, other = (trial.subject.sensitivity(relation) for relation in (ADD_OR_REMOVE_ONE, REPLACE_ONE))
    require(
        all(math.isfinite(bound) and bound >= 0 for bound in (one, other)),
        "a sensitivity must be a finite number >= 0",
        found=f"{one} and {other}",
        mend="Take it from what clips each record's contribution.",
    )
    require(
        one <= other * (1 + 1e-9) or one == 0,
        "replacing a record is removing one and adding one: it may not have the smaller bound",
        found=f"{other:.6g} under replace_one, {one:.6g} under add_or_remove_one",
        mend="State 2 C for a sum of vectors clipped to C, or the distance that is proved.",
    )


def check_noise_is_told_the_declared_sensitivity(trial: MechanismTrial) -> None:
    """What the noise source is told is what `sensitivity` states."""
    for pair, first, _ in trial.neighbours:
        declared = trial.subject.sensitivity(pair.relation)
        for call in first.tape.calls:
            told = call.sensitivity
            require(
                call.address.kind in SELECTIONS or math.isclose(told, declared, rel_tol=1e-9),
                f"the noise must be drawn for the declared sensitivity ({pair.relation})",
                found=f"{told:.6g} told to the noise, {declared:.6g} stated by `sensitivity`",
                mend="Pass `sensitivity=self.sensitivity(relation)`.",
            )


def check_keeps_nothing_of_the_records(trial: MechanismTrial) -> None:
    """A measurement leaves the mechanism as it was: no cache, no handle, no sum kept for later."""
    trial.recorded.require_success()
    used = trial.recorded.value[0]
    rule, mend = "a measurement must leave the mechanism as it was", "Keep private values in local variables only."
    handles = [path for path, item in walk(used) if isinstance(item, PrivateDataset | Records)]
    require(not handles, rule, found=f"a handle kept in {', '.join(handles[:3])}", mend=mend)
    before, after = settled(copy.deepcopy(trial.subject)), settled(used)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    require(not changed, rule, found=f"another {', '.join(changed[:3])}", mend=mend)


def check_docstring_states_the_privacy(trial: MechanismTrial) -> None:
    """The docstring says what is charged and what one record can move."""
    kind = type(trial.subject)
    require(
        "Privacy:" in (kind.__doc__ or ""),
        "the docstring of a mechanism must say what it charges",
        found=f"no paragraph `Privacy:` in that of {kind.__name__}",
        mend="Name the event, the sensitivity under each relation, and what is assumed public.",
    )


def _statements(mechanism: Any) -> tuple[Any, ...]:
    return tuple((mechanism.event(relation), mechanism.sensitivity(relation)) for relation in NeighboringRelation)


MECHANISM_CHECKS: Final[tuple[Check[MechanismTrial], ...]] = (
    *PRIVATE_CHECKS,
    *NEIGHBOUR_CHECKS,
    *TRACE_CHECKS,
    check_event_follows_from_public_settings,
    check_sensitivity_is_a_bound,
    check_noise_is_told_the_declared_sensitivity,
    check_keeps_nothing_of_the_records,
    check_docstring_states_the_privacy,
)
