"""Record on one data set, replay on its neighbour: what may differ, and by how much."""

from __future__ import annotations

from typing import Final

from dpgen.testing.conformance.check import Check
from dpgen.testing.conformance.failure import CheckFailed, require
from dpgen.testing.conformance.observation import Observation, different
from dpgen.testing.conformance.trials import Conditions, Trial
from dpgen.testing.tape import MovedTooFar, ReplayMismatch


def check_neighbours_move_no_more_than_declared(trial: Trial) -> None:
    """On a neighbour, what goes into the noise moves by at most the declared sensitivity."""
    for pair, _, second in trial.neighbours:
        if isinstance(second.error, MovedTooFar):
            raise CheckFailed(
                f"one record may move a value by no more than its sensitivity ({pair.relation}, {pair.name})",
                found=str(second.error),
                mend="Clip what each record contributes, all its views together; let no record change another's part.",
            )


def check_control_flow_is_equal_on_neighbours(trial: Trial) -> None:
    """With the same noisy outputs, a run on a neighbour draws the same noise, in the same shapes, to its end."""
    for pair, first, second in trial.neighbours:
        trial.by_relation[pair.relation].require_success()
        error = first.error or second.error  # the whole toy data went well: a part of them must, too
        if error is not None and not isinstance(error, MovedTooFar):
            found = str(error) if isinstance(error, ReplayMismatch) else f"{type(error).__name__}: {error}"
            raise CheckFailed(
                f"a run must take the same path on a neighbour ({pair.relation}, {pair.name})",
                found=found,
                mend="Let steps, shapes, noise and branches follow from settings and noised values alone.",
            )
        if error is None:
            _require_same_progress(pair.name, first, second)


def check_release_is_equal_on_neighbours(trial: Trial) -> None:
    """With the same noisy outputs, a neighbour releases the same: nothing else of the records gets out."""
    for pair, first, second in trial.neighbours:
        if first.error is None and second.error is None:
            other = different(first.release, second.release)
            require(
                not other,
                f"equal noised values must give an equal release ({pair.relation}, {pair.name})",
                found=f"another {', '.join(other[:3])}",
                mend="Divide by declared numbers, name files after settings; keep and average noised values only.",
            )


def check_logs_and_prints_no_private_value(trial: Trial) -> None:
    """What is printed, logged and warned is the same on a neighbour."""
    for pair, first, second in trial.neighbours:
        if first.traces.said == second.traces.said or second.error is not None:
            continue
        again = trial.observe(pair.first, Conditions(relation=pair.relation))
        same = trial.observe(pair.second, Conditions(relation=pair.relation), replaying=first.tape)
        told = sorted(_steady(first, again) ^ _steady(second, same))
        require(
            not told,
            f"what a run says must not depend on a record ({pair.relation}, {pair.name})",
            found=f"the line {told[0]!r}" if told else "",
            mend="Say settings, steps and noised values only; progress goes to `context.progress`.",
        )


def _require_same_progress(pair: str, first: Observation, second: Observation) -> None:
    require(
        first.progress == second.progress,
        f"progress must be the same on a neighbour ({pair})",
        found="other phases, lengths or numbers of steps",
        mend="Count steps and epochs in `context.progress`, never records or batches of them.",
    )


def _steady(run: Observation, repeated: Observation) -> set[str]:
    """The lines that both say: neither a time nor what is said once in a process, at an import."""
    return set(run.traces.said) & set(repeated.traces.said)


NEIGHBOUR_CHECKS: Final[tuple[Check[Trial], ...]] = (
    check_neighbours_move_no_more_than_declared,
    check_control_flow_is_equal_on_neighbours,
    check_release_is_equal_on_neighbours,
    check_logs_and_prints_no_private_value,
)
