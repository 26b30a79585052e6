"""The noisy validation of a run: its charge, the plan that leaves room for it, and the images that it reads.

The private set is what `data.private` and `data.validation` hold together; which part an image is in, its owner says.
The charge is composed with the others, as if one record were in both parts. For disjoint parts the larger of the two
prices would do (parallel composition), and what is charged is never less. So the guarantee also holds for a person with
images in both parts, and where the parts overlap by mistake.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from dpgen.accountants.base import Accountant
from dpgen.accountants.pricing import total
from dpgen.budget import REPLACE_ONE, Budget, Charge, Plan
from dpgen.config import Config
from dpgen.config.tables import EvaluationConfig
from dpgen.data.datasets import PrivateDataset
from dpgen.data.info import DatasetInfo
from dpgen.data.sources.base import ImageSource
from dpgen.data.sources.spelling import open_source
from dpgen.errors import ConfigError, DataError
from dpgen.evaluation.selection import HeldOutSynthetic, NoisyValidation, Selection
from dpgen.events import EpsilonDelta
from dpgen.generators.base import Generator, Task
from dpgen.mechanisms.context import RunContext

_NOISY = "noisy_validation"
_SAFETY = 0.01
"""Share of what the second plan could win back that it leaves, because its price is not quite linear."""


def validation_source(
    config: Config, named: Mapping[str, type[ImageSource]], info: DatasetInfo, *, data_at_hand: bool
) -> ImageSource | None:
    """The validation images, not yet loaded; None where nothing reads them.

    Raises: `ConfigError` for a noisy validation that lacks images or a score to report, for images that nothing would
    read, and for other classes.
    """
    given = config.data.validation
    if config.evaluation.selection != _NOISY:
        if given is not None:
            raise ConfigError(
                "data.validation: only a noisy validation reads it; found evaluation.selection = "
                f'{config.evaluation.selection!r}. Set it to "{_NOISY}", or leave data.validation out.'
            )
        return None
    if given is None or config.data.test is None or not config.evaluation.enabled:
        raise ConfigError(
            f'evaluation.selection = "{_NOISY}" needs private images to choose on (data.validation) and others to '
            "score the choice on (data.test, evaluation.enabled); found one missing. Give both, none of data.private."
        )
    if not data_at_hand:
        return None
    source = _opened(given, config, named, info)
    if source.class_names() != info.class_names:
        raise ConfigError(
            f"data.validation: expected the classes of data.private, {', '.join(info.class_names)}; found "
            f"{', '.join(source.class_names())}. Give a part of the private set."
        )
    return source


def _opened(given: str, config: Config, named: Mapping[str, type[ImageSource]], info: DatasetInfo) -> ImageSource:
    """With the class names that the owner declares, else its own, else those of the private images."""
    source = open_source(given, named=named, class_names=None if given in named else config.data.classes)
    try:
        source.class_names()
    except DataError:
        return open_source(given, named=named, class_names=info.class_names)
    return source


def validation_charge(wanted: EvaluationConfig, budget: Budget) -> Charge | None:
    """What the run charges for choosing its classifier; None where the choice is free."""
    return None if wanted.selection != _NOISY else NoisyValidation.charge(budget.relation, scale=_scale(wanted, budget))


def planned(generator: Generator, task: Task, budget: Budget, accountant: Accountant, charge: Charge | None) -> Plan:
    """The generator's plan with `charge` behind it, within `budget` as a whole.

    Raises: what `Generator.plan` raises, also where the charge leaves too little; `UnsupportedEvent`.
    """
    if charge is None:
        return generator.plan(task, budget, accountant)
    assert isinstance(charge.event, EpsilonDelta), "a noisy maximum is pure differential privacy"
    # By basic composition this always fits: (e1, delta) and (e2, 0) make (e1 + e2, delta).
    own = charge.event.epsilon
    plan = generator.plan(task, _less(budget, own), accountant)
    whole = _with(plan, charge)
    # Composed more tightly the charge costs less than its own epsilon, and the noise of the others can be that smaller.
    added = total(whole, accountant, budget).upper - total(plan, accountant, budget).upper
    if added < own:
        tighter = _with(generator.plan(task, _less(budget, added + _SAFETY * (own - added)), accountant), charge)
        if total(tighter, accountant, budget).upper <= budget.epsilon:
            return tighter
    return whole


def selection(
    wanted: EvaluationConfig, budget: Budget, private: PrivateDataset | None, context: RunContext
) -> Selection:
    """The rule that chooses the classifier of a run; a noisy one keeps its answer for a resumed run."""
    if private is None:
        return HeldOutSynthetic()
    return NoisyValidation(private, scale=_scale(wanted, budget), context=context)


def _scale(wanted: EvaluationConfig, budget: Budget) -> int:
    """The smallest whole scale of the noise whose epsilon is at most the share that is set aside."""
    moves = 2 if budget.relation is REPLACE_ONE else 1
    return max(1, math.ceil(moves / (wanted.budget_share * budget.epsilon)))


def _less(budget: Budget, epsilon: float) -> Budget:
    return replace(budget, epsilon=budget.epsilon - epsilon)


def _with(plan: Plan, charge: Charge) -> Plan:
    note = (
        "the classifier is chosen on private validation images, for a charge of its own, composed with the others as "
        "if one record were in both parts"
    )
    return Plan((*plan.charges, charge), (*plan.notes, note))
