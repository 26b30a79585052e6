"""To and from the events of dp-accounting and the history of an Opacus accountant, so that others can check a price.

Both directions keep the meaning that the docstrings of both sides state: in dp-accounting too a noise multiplier is
relative to the norm that one record contributes. What one side cannot say exactly is refused, never approximated.

Its two accountants disagree about replace-one, though. The PLD accountant moves a sum by twice that norm, as dpgen
does; the RDP accountant (0.6) prices `GaussianDpEvent`, `LaplaceDpEvent` and samples without replacement at once that
norm. Compare replace-one prices with the former, or hand the latter half the noise multiplier.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from dpgen import validate
from dpgen.accountants.flatten import flatten
from dpgen.errors import InvalidValue, UnsupportedEvent
from dpgen.events import (
    Composed,
    DpEvent,
    Gaussian,
    Laplace,
    NonPrivate,
    NoOp,
    PoissonSampled,
    SampledWithoutReplacement,
    SelfComposed,
    Unsupported,
)

OpacusHistory = list[tuple[float, float, int]]
"""(noise multiplier, sample rate, steps), in order."""


def to_dp_accounting(event: DpEvent) -> Any:
    """The `dp_accounting.DpEvent` of the same meaning. The description of an `Unsupported` is lost.

    Raises: `UnsupportedEvent` naming the first event that dp-accounting has no word for: `DiscreteGaussian`,
        `AggregatePosterior`, `OnShards` and `EpsilonDelta`. `InvalidValue` when dp-accounting is not installed.
    """
    names = _dp_accounting()
    match event:
        case NoOp():
            return names.NoOpDpEvent()
        case NonPrivate():
            return names.NonPrivateDpEvent()
        case Unsupported():
            return names.UnsupportedDpEvent()
        case Gaussian(noise_multiplier=noise_multiplier):
            return names.GaussianDpEvent(noise_multiplier)
        case Laplace(noise_multiplier=noise_multiplier):
            return names.LaplaceDpEvent(noise_multiplier)
        case PoissonSampled(probability=probability, event=inner):
            return names.PoissonSampledDpEvent(probability, to_dp_accounting(inner))
        case SampledWithoutReplacement(records=records, sample=sample, event=inner):
            return names.SampledWithoutReplacementDpEvent(records, sample, to_dp_accounting(inner))
        case SelfComposed(event=inner, count=count):
            return names.SelfComposedDpEvent(to_dp_accounting(inner), count)
        case Composed(events=events):
            return names.ComposedDpEvent([to_dp_accounting(inner) for inner in events])
    raise UnsupportedEvent(event, accountant="dp-accounting", reason="it has no event of this meaning")


def from_dp_accounting(event: Any) -> DpEvent:
    """The `DpEvent` of the same meaning as this `dp_accounting.DpEvent`.

    Raises: `InvalidValue` naming an event that dpgen has no word for (discrete Laplace noise, randomised response,
        mixtures, trees, zCDP, samples with replacement or truncated, repeat and select), or a setting out of range.
    """
    names = _dp_accounting()
    match event:
        case names.NoOpDpEvent():
            return NoOp()
        case names.NonPrivateDpEvent():
            return NonPrivate()
        case names.UnsupportedDpEvent():
            return Unsupported("dp_accounting.UnsupportedDpEvent")
        case names.GaussianDpEvent():
            return Gaussian(event.noise_multiplier)
        case names.LaplaceDpEvent():
            return Laplace(event.noise_multiplier)
        case names.PoissonSampledDpEvent():
            return PoissonSampled(event.sampling_probability, from_dp_accounting(event.event))
        case names.SampledWithoutReplacementDpEvent():
            inner = from_dp_accounting(event.event)
            return SampledWithoutReplacement(event.source_dataset_size, event.sample_size, inner)
        case names.SelfComposedDpEvent():
            return SelfComposed(from_dp_accounting(event.event), event.count)
        case names.ComposedDpEvent():
            return Composed(tuple(map(from_dp_accounting, event.events)))
    raise InvalidValue(
        f"expected an event of dp-accounting that dpgen has too; found {type(event).__name__}. Price it there, and "
        "charge EpsilonDelta(epsilon, delta) here if that was proved for the relation of the charge."
    )


def to_opacus_history(event: DpEvent) -> OpacusHistory:
    """The steps that an Opacus accountant would have recorded for `event`, in the normal form of `flatten`.

    Give them to `accountant.history`. Opacus prices add-or-remove-one.

    Raises: `UnsupportedEvent` naming the first leaf that is no Gaussian, plain or Poisson-sampled.
    """
    history: OpacusHistory = []
    for leaf, steps in flatten(event).items():
        match leaf:
            case Gaussian(noise_multiplier=noise_multiplier):
                history.append((float(noise_multiplier), 1.0, steps))
            case PoissonSampled(probability=probability, event=Gaussian(noise_multiplier=noise_multiplier)):
                history.append((float(noise_multiplier), float(probability), steps))
            case _:
                raise UnsupportedEvent(leaf, accountant="opacus", reason="its history holds Poisson-sampled Gaussians")
    return history


def from_opacus_history(history: Mapping[str, Any] | Iterable[Sequence[Any]]) -> DpEvent:
    """What an Opacus accountant's `history`, or its `state_dict()`, says was done.

    That the batches were Poisson samples is Opacus' own assumption: it holds for `poisson_sampling=True` only. A
    loader that shuffles is not priced by this event.

    Args:
        history: (noise multiplier, sample rate, steps) tuples, or a mapping with such a `history`. A plain release
            has sample rate 1.

    Raises: `InvalidValue` for anything else, or a setting out of range.
    """
    if isinstance(history, Mapping):
        if "history" not in history:
            raise InvalidValue(f"an Opacus state needs a `history`; found the keys {sorted(history)}.")
        history = history["history"]
    return Composed(tuple(_opacus_steps(entry) for entry in history))


def _opacus_steps(entry: object) -> DpEvent:
    if not isinstance(entry, Sequence) or len(entry) != 3:
        raise InvalidValue(
            f"an entry of an Opacus history is (noise_multiplier, sample_rate, steps); found {entry!r}. "
            "Pass `accountant.history` or `accountant.state_dict()`."
        )
    noise_multiplier, sample_rate, steps = entry
    validate.probability(sample_rate=sample_rate)
    return SelfComposed(PoissonSampled(sample_rate, Gaussian(noise_multiplier)), steps)


def _dp_accounting() -> ModuleType:
    try:
        from dp_accounting import dp_event
    except ImportError as error:
        raise InvalidValue(
            "expected the package dp-accounting; found none. Install it: pip install 'dp-accounting>=0.6'."
        ) from error
    module: ModuleType = dp_event
    return module
