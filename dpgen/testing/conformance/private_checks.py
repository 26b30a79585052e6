"""What every run on private records must obey, a generator's and a mechanism's: charging, reading, bad data."""

from __future__ import annotations

import traceback
from typing import Final

from dpgen.errors import PrivacyError
from dpgen.testing.conformance.check import Check
from dpgen.testing.conformance.data import CANARY, MislabelledRecords, only, single_class, toy_records
from dpgen.testing.conformance.failure import CheckFailed, require
from dpgen.testing.conformance.observed_events import Leaf, charged, drawn
from dpgen.testing.conformance.trials import Conditions, Trial


def check_runs_on_toy_data(trial: Trial) -> None:
    """A run on valid data ends well."""
    for relation, seen in trial.by_relation.items():
        error = seen.error
        if error is not None and not isinstance(error, PrivacyError):
            raise CheckFailed(
                f"a run on 24 images of 8 x 8 pixels must end well ({relation})",
                found=f"{type(error).__name__}: {error}",
                mend="Run it under a debugger; give `dpgen_conformance_examples` settings that fit this size.",
            ) from error


def check_charges_equal_plan(trial: Trial) -> None:
    """What was charged is what was planned, whole and in order."""
    mend = "Build the mechanism from `plan[label]`, and release it under that label."
    for relation, seen in trial.by_relation.items():
        rule = f"a run must charge exactly its plan, in order ({relation})"
        if isinstance(seen.error, PrivacyError):
            raise CheckFailed(rule, found=f"{type(seen.error).__name__}: {seen.error}", mend=mend) from seen.error
        seen.require_success()
        missing = [charge.label for charge in trial.plans[relation].charges if charge not in seen.charges]
        require(not missing, rule, found=f"no charge for {', '.join(missing)}", mend=mend)


def check_noise_is_what_was_charged(trial: Trial) -> None:
    """The noise that was drawn under a label is the noise that its event says, and comes from the noise source."""
    for relation in trial.plans:
        seen = trial.observe(toy_records(), Conditions(relation=relation, sampled=True))
        seen.require_success()
        for charge in seen.charges:
            promised = charged(charge.event, relation=relation)
            if promised is None:
                continue
            calls = [call for call in seen.tape.calls if call.address.path[0].rpartition("#")[0] == charge.label]
            found = drawn(calls, relation)
            same = len(found) == len(promised) and all(map(Leaf.near, sorted(found), sorted(promised)))
            require(
                same,
                f"the noise under {charge.label!r} must be that of its event, {charge.event} ({relation})",
                found="; ".join(sorted({f"{found.count(leaf)} x {leaf}" for leaf in found})) or "no draw at all",
                mend="Draw from `noise` with deviation noise_multiplier * sensitivity, for all that one event says.",
            )


def check_reads_records_only_in_a_release(trial: Trial) -> None:
    """Records are read by a mechanism that was charged, never before, beside or after."""
    seen = trial.recorded
    require(
        seen.records.outside == 0,
        "private records must be read only inside `private.release`",
        found=f"{seen.records.outside} looks outside of one",
        mend="Hand a mechanism to `private.release`; declared facts are in `private.info`.",
    )


def check_refuses_before_reading(trial: Trial) -> None:
    """When the ledger refuses a charge, nothing is read and the refusal reaches the caller."""
    seen = trial.observe(toy_records(), Conditions(refusing=True))
    looks = seen.records.inside + seen.records.outside
    rule, mend = "a refused charge must end the run with nothing read", "Let the error of `release` pass; read nothing."
    require(looks == 0, rule, found=f"{looks} looks at the records", mend=mend)
    refused = isinstance(seen.error, PrivacyError)
    require(refused or not trial.plans[Conditions().relation].charges, rule, found="no error", mend=mend)


def check_empty_and_single_class_data(trial: Trial) -> None:
    """No record, one record and one class are data like any other."""
    trial.recorded.require_success()
    for name, records in (("no record", only(None)), ("one record", only(0)), ("one class", single_class())):
        error = trial.observe(records, Conditions(sampled=True)).error
        if error is not None:
            raise CheckFailed(
                f"a run on data with {name} must end like any other",
                found=f"{type(error).__name__}: {error}",
                mend="Take shapes and classes from `info`; make every sum start from zeros of that shape.",
            ) from error


def check_errors_carry_no_record(trial: Trial) -> None:
    """An error about a record does not quote it, neither in its text nor in what caused it."""
    error = trial.observe(MislabelledRecords()).error
    text = "" if error is None else "".join(traceback.format_exception(error)) + repr(error.args)
    require(
        str(CANARY) not in text,
        "an error must not quote a record",
        found=f"the planted label or id {CANARY} in a {type(error).__name__}",
        mend="Say what was expected and what to do, never the value; raise `from None` where the cause quotes it.",
    )


PRIVATE_CHECKS: Final[tuple[Check[Trial], ...]] = (
    check_runs_on_toy_data,
    check_charges_equal_plan,
    check_noise_is_what_was_charged,
    check_reads_records_only_in_a_release,
    check_refuses_before_reading,
    check_empty_and_single_class_data,
    check_errors_carry_no_record,
)
