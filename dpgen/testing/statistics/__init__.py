"""Statistical tests with stated error: laws of noise and sampling, and lower bounds on epsilon.

A law test states its level (the chance to reject a right source), its sample size and the smallest fault that it sees.
A lower bound on epsilon states its level and what it assumes. Levels of a suite add up to a `FalseAlarmBudget`.
"""

from __future__ import annotations

from dpgen.testing.statistics.discrete import (
    discrete_gaussian_deviation,
    discrete_gaussian_law,
    discrete_gaussian_masses,
)
from dpgen.testing.statistics.epsilon_bound import EpsilonBound
from dpgen.testing.statistics.false_alarms import SUITE_FALSE_ALARMS, FalseAlarmBudget, require_within
from dpgen.testing.statistics.families import DiscreteGaussianFamily, Family, SampledGaussianFamily
from dpgen.testing.statistics.gaussian import gaussian_deviation, gaussian_independence, gaussian_shape
from dpgen.testing.statistics.law_test import POWER, LawTest
from dpgen.testing.statistics.one_run import one_run_bound, one_run_epsilon, one_run_p_value
from dpgen.testing.statistics.rates import AttackRates, attack_rates, clopper_pearson_lower
from dpgen.testing.statistics.sample_size import observations_needed
from dpgen.testing.statistics.sampling import (
    joined_table,
    poisson_inclusions,
    poisson_pairs,
    poisson_rate,
    poisson_sizes,
)
from dpgen.testing.statistics.step_audit import (
    DpSgdClaim,
    clip_ignored,
    everybody_joins,
    halved_noise,
    observe_steps,
    step_audit,
)
from dpgen.testing.statistics.two_sided import bound_within, two_sided_bound

__all__ = [
    "POWER",
    "SUITE_FALSE_ALARMS",
    "AttackRates",
    "DiscreteGaussianFamily",
    "DpSgdClaim",
    "EpsilonBound",
    "FalseAlarmBudget",
    "Family",
    "LawTest",
    "SampledGaussianFamily",
    "attack_rates",
    "bound_within",
    "clip_ignored",
    "clopper_pearson_lower",
    "discrete_gaussian_deviation",
    "discrete_gaussian_law",
    "discrete_gaussian_masses",
    "everybody_joins",
    "gaussian_deviation",
    "gaussian_independence",
    "gaussian_shape",
    "halved_noise",
    "joined_table",
    "observations_needed",
    "observe_steps",
    "one_run_bound",
    "one_run_epsilon",
    "one_run_p_value",
    "poisson_inclusions",
    "poisson_pairs",
    "poisson_rate",
    "poisson_sizes",
    "require_within",
    "step_audit",
    "two_sided_bound",
]
