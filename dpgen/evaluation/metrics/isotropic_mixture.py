"""A mixture of round Gaussians with fixed centres and fitted widths."""

from __future__ import annotations

import math
from typing import Final, final

import numpy as np
from scipy.special import logsumexp

from dpgen.evaluation.base import Features
from dpgen.evaluation.metrics.distances import squared_distances

_EPOCHS: Final = 50
_LEARNING_RATE: Final = 0.5
_BATCH: Final = 10_000
_ORIGIN_SCALE: Final = 0.9**2
_FIRST_MOMENT, _SECOND_MOMENT, _TINY = 0.9, 0.999, 1e-8
"""Settings of the authors' optimiser (Adam), which stops before the optimum: they are part of the definition."""
_LOG_VARIANCES: Final = (-40.0, 20.0)
_CHUNK: Final = 512
"""Images whose densities are in memory at once."""


@final
class IsotropicMixture:
    """Gaussians of equal weight at `centres` `[m, d]`, each with one variance of its own.

    Source: Jiralerspong et al. 2023 (arXiv 2302.04440), section 3.1 and appendix; github.com/marcojira/fld, MoG.py.
    """

    def __init__(self, centres: Features) -> None:
        self._centres = centres
        self._log_variances = np.zeros(len(centres))

    def fitted_to(self, data: Features) -> IsotropicMixture:
        """The same mixture, its variances moved towards the likelihood maximum of `data` `[n, d]` in 50 passes of Adam.

        While fitting, one more component at the mean of the data bounds from below what a far image can cost; its
        distances count by 0.81 and its weight by the full number of centres, as in the authors' code.
        """
        distances = np.concatenate(list(squared_distances(data, self._centres)))
        origin = _ORIGIN_SCALE * np.square(data - data.mean(0)).sum(1)
        start = np.log((distances.min(0) + 1e-3) / data.shape[1])  # likeliest for the nearest image alone
        values, optimiser = np.append(start, 0.0), _Adam(len(start) + 1)
        every = np.concatenate([distances, origin[:, None]], axis=1)
        for _ in range(_EPOCHS):
            for first in range(0, len(data), _BATCH):
                values += optimiser.step(self._gradient(values, every[first : first + _BATCH]))
                values[:-1] = values[:-1].clip(*_LOG_VARIANCES)
        self._log_variances = values[:-1]
        return self

    def negative_log_likelihood(self, data: Features) -> float:
        """Mean of -log p over `data`, in nats."""
        total = 0.0
        for block in squared_distances(data, self._centres):
            total -= float(logsumexp(self._log_densities(block, self._log_variances), axis=1).sum())
        return float(total / len(data))

    def _log_densities(self, distances: Features, log_variances: Features) -> Features:
        """Log of weight times density of each component, `[n, m]`."""
        constant = math.log(len(self._centres)) + self._centres.shape[1] / 2 * math.log(2 * math.pi)
        densities: Features = -distances / (2 * np.exp(log_variances)) - self._dimension_half * log_variances
        densities -= constant
        return densities

    def _gradient(self, values: Features, distances: Features) -> Features:
        """Of the mean negative log likelihood per feature, in the log variances; the origin's comes last."""
        total = np.zeros(len(values))
        for first in range(0, len(distances), _CHUNK):
            block = distances[first : first + _CHUNK]
            logs = self._log_densities(block, values)
            logs[:, -1] += math.log(len(self._centres))  # the origin is no 1/m of the mixture
            shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
            total += (shares * (self._dimension_half - block / (2 * np.exp(values)))).sum(0)
        gradient: Features = total / (len(distances) * self._centres.shape[1])
        return gradient

    @property
    def _dimension_half(self) -> float:
        return float(self._centres.shape[1]) / 2


class _Adam:
    """Kingma and Ba 2015, algorithm 1."""

    def __init__(self, size: int) -> None:
        self._first, self._second, self._steps = np.zeros(size), np.zeros(size), 0

    def step(self, gradient: Features) -> Features:
        """The change of the values."""
        self._steps += 1
        self._first = _FIRST_MOMENT * self._first + (1 - _FIRST_MOMENT) * gradient
        self._second = _SECOND_MOMENT * self._second + (1 - _SECOND_MOMENT) * gradient**2
        first = self._first / (1 - _FIRST_MOMENT**self._steps)
        second = self._second / (1 - _SECOND_MOMENT**self._steps)
        change: Features = -_LEARNING_RATE * first / (np.sqrt(second) + _TINY)
        return change
