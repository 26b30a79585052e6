"""What a run leaves behind, and what its result may depend on besides records and settings: nothing."""

from __future__ import annotations

from typing import Final

from dpgen.testing.conformance.check import Check
from dpgen.testing.conformance.data import toy_records
from dpgen.testing.conformance.failure import CheckFailed, require
from dpgen.testing.conformance.observation import different
from dpgen.testing.conformance.trials import Conditions, Trial


def check_leaves_no_file_outside_release(trial: Trial) -> None:
    """Files are written by `context.publish` and `context.checkpoints`, nowhere else."""
    left = trial.recorded.traces.files
    require(
        not left,
        "a run must leave no file but those of `context.publish` and `context.checkpoints`",
        found=", ".join(left[:3]),
        mend="Publish DP output by `context.publish(name, content)`; keep unfinished work in `context.checkpoints`.",
    )


def check_global_random_state_untouched(trial: Trial) -> None:
    """The global random generators are left as they were."""
    changed = trial.recorded.traces.generators
    require(
        not changed,
        "a run must leave the global random generators alone",
        found=f"another state of {', '.join(changed)}",
        mend="Draw public randomness from `context.generator(purpose)`, secret randomness from `noise`.",
    )


def check_same_seeds_same_output(trial: Trial) -> None:
    """Equal noise and equal public seeds give an equal release, whatever the global generators hold."""
    first, second = trial.recorded, trial.observe(toy_records(), Conditions(global_seed=1))
    first.require_success()
    other = different(first.release, second.release)
    require(
        not other,
        "equal noise and equal seeds must give an equal release",
        found=f"another {', '.join(other[:3])} under another state of the global generators",
        mend="Draw public randomness from `context.generator(purpose)` or `public_generator(seed, purpose)`.",
    )


def check_compute_settings_change_no_result(trial: Trial) -> None:
    """The physical batch changes neither charges nor, but for rounding, what goes into the noise."""
    trial.recorded.require_success()
    small = trial.observe(toy_records(), Conditions(physical_batch=5), replaying=trial.recorded.tape)
    rule, mend = (
        "`physical_batch` must change no result",
        "Sum over physical batches in float64; let nothing else see them.",
    )
    if small.error is not None:
        raise CheckFailed(rule, found=str(small.error), mend=mend)
    require(small.charges == trial.recorded.charges, rule, found="other charges", mend=mend)
    other = different(trial.recorded.release, small.release)
    require(not other, rule, found=f"another {', '.join(other[:3])}", mend=mend)


TRACE_CHECKS: Final[tuple[Check[Trial], ...]] = (
    check_leaves_no_file_outside_release,
    check_global_random_state_untouched,
    check_same_seeds_same_output,
    check_compute_settings_change_no_result,
)
