"""The checks of generators: the shared ones, and what only a generator can get wrong."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.testing.conformance.check import Check, where
from dpgen.testing.conformance.data import toy_records
from dpgen.testing.conformance.failure import CheckFailed, require
from dpgen.testing.conformance.neighbour_checks import NEIGHBOUR_CHECKS
from dpgen.testing.conformance.observation import different
from dpgen.testing.conformance.plan_checks import PLAN_CHECKS
from dpgen.testing.conformance.private_checks import PRIVATE_CHECKS
from dpgen.testing.conformance.sampling_checks import SAMPLING_CHECKS
from dpgen.testing.conformance.trace_checks import TRACE_CHECKS
from dpgen.testing.conformance.trials import Conditions, GeneratorTrial


@where(lambda tags: tags.resumable)
def check_resumes_to_the_same_result(trial: GeneratorTrial) -> None:
    """A fit that is stopped and started again from its checkpoints ends as if it had never stopped."""
    trial.recorded.require_success()
    lines = len(trial.recorded.progress)
    for stop_after in sorted({lines // 2, lines - 1} - {0}):
        with tempfile.TemporaryDirectory() as folder:
            how = {"checkpoints": Checkpoints(), "ledger": Path(folder) / "ledger.jsonl"}
            trial.observe(toy_records(), Conditions(stop_after=stop_after, **how))  # type: ignore[arg-type]
            resumed = trial.observe(toy_records(), Conditions(**how))  # type: ignore[arg-type]
        rule = "a generator with the tag resumable must continue a stopped fit to the same result"
        mend = "Wrap each phase in `context.once(name, make)`; clear the tag `resumable` if it cannot continue."
        if resumed.error is not None:
            found = f"{type(resumed.error).__name__}: {resumed.error}"
            raise CheckFailed(rule, found=found, mend=mend) from resumed.error
        other = different(trial.recorded.release, resumed.release)
        require(not other, rule, found=f"another {', '.join(other[:3])}", mend=mend)


def check_states_its_privacy(trial: GeneratorTrial) -> None:
    """The docstring says what is charged and why, and the settings refuse what they do not know."""
    kind = type(trial.subject)
    require(
        "Privacy:" in (kind.__doc__ or ""),
        "the docstring of a generator must say what it charges",
        found=f"no paragraph `Privacy:` in that of {kind.__name__}",
        mend="Name each charge, its event, and why the sensitivity is what it is.",
    )
    settings = kind.Config.model_config
    require(
        settings.get("extra") == "forbid" and bool(settings.get("frozen")),
        "settings must be frozen and refuse unknown keys",
        found=f"a Config of {kind.__name__} that does not",
        mend="Let `Config` extend `dpgen.GeneratorConfig` and leave its `model_config` alone.",
    )


GENERATOR_CHECKS: Final[tuple[Check[GeneratorTrial], ...]] = (
    *PRIVATE_CHECKS,
    *NEIGHBOUR_CHECKS,
    *TRACE_CHECKS,
    *PLAN_CHECKS,
    *SAMPLING_CHECKS,
    check_resumes_to_the_same_result,
    check_states_its_privacy,
)
