"""The second-order sampler, deterministic or with churn (noise added back on the way).

Cost: two network evaluations a step, but one for the last. Source: Karras et al. 2022 (arXiv 2206.00364), algorithms
1 (deterministic) and 2 (stochastic).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from dpgen.errors import InvalidValue
from dpgen.generators.samplers.schedule import Denoiser
from dpgen.noise import RowRandom


@dataclass(frozen=True, slots=True)
class Churn:
    """How much fresh noise a step adds back, between which noise levels. `amount` 0 is the deterministic sampler."""

    amount: float = 0.0
    lowest: float = 0.05
    highest: float = 50.0
    inflation: float = 1.003

    def gamma(self, level: float, steps: int) -> float:
        """Relative increase of the noise level at `level`."""
        if not self.lowest <= level <= self.highest:
            return 0.0
        return min(self.amount / steps, math.sqrt(2) - 1)  # EDM algorithm 2, line 4


def sample_heun(
    denoise: Denoiser,
    noise: Tensor,
    labels: Tensor,
    *,
    levels: Tensor,
    churn: Churn | None = None,
    random: RowRandom | None = None,
) -> Tensor:
    """Images from standard normal `noise [n, c, h, w]`, following `levels [steps + 1]` down to 0.

    `random` (public, `n` rows) feeds the churn and is needed only with it.
    """
    churn, steps = churn or Churn(), len(levels) - 1
    x = noise * levels[0]
    for now, after in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        raised = now * (1 + churn.gamma(now, steps))
        if raised > now:
            if random is None:
                raise InvalidValue("churn needs fresh noise; found none. Give `random`, or no churn.")
            x = x + math.sqrt(raised**2 - now**2) * churn.inflation * random.normal(*x.shape[1:]).to(x)
        x = _step(denoise, x, labels, raised, after)
    return x


def _step(denoise: Denoiser, x: Tensor, labels: Tensor, now: float, after: float) -> Tensor:
    slope = (x - denoise(x, x.new_full((len(x),), now), labels)) / now  # dx/dsigma = (x - D) / sigma
    predicted = x + (after - now) * slope
    if after == 0:
        return predicted
    corrected = (predicted - denoise(predicted, x.new_full((len(x),), after), labels)) / after
    return x + (after - now) * (slope + corrected) / 2
