"""Choosing the downstream classifier without the test split, and fixing the choice before the split is opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from dpgen import validate
from dpgen.budget import VALIDATION, Charge, NeighboringRelation
from dpgen.data.datasets import PrivateDataset
from dpgen.errors import DataError, SelectionOnTest
from dpgen.evaluation.base import Labels
from dpgen.evaluation.candidates import Candidate
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.noisy_maximum import NoisyMaximum
from dpgen.networks.classifier_base import Classifier
from dpgen.networks.digest import weights_digest
from dpgen.networks.inference import predict


@final
class FixedClassifier:
    """A classifier whose choice is over: its weights can no longer change without being noticed.

    `held_out_accuracy` is its accuracy on synthetic images that trained nothing.
    """

    def __init__(self, network: Classifier, *, held_out_accuracy: float, architecture: str = "cnn") -> None:
        self._network = network.requires_grad_(False).eval()
        self._digest, self._architecture = weights_digest(network), architecture
        self.held_out_accuracy = held_out_accuracy

    @property
    def name(self) -> str:
        """`synthetic-cnn@` (or another architecture) and the first eight digits of the weights' SHA-256."""
        return f"synthetic-{self._architecture}@{self._digest[:8]}"

    def require_unchanged(self) -> None:
        """Raises: `SelectionOnTest` when a weight has changed since the choice."""
        if weights_digest(self._network) != self._digest:
            raise SelectionOnTest(
                "the classifier must stay as it was chosen; found changed weights. "
                "Train and choose first, then open the test split once."
            )

    def predict(self, images: Tensor) -> Labels:
        """The most likely class of each image, int64 `[n]`. Raises: `SelectionOnTest` as above."""
        self.require_unchanged()
        return predict(self._network, images).argmax(1).numpy()


def fixed(candidate: Candidate) -> FixedClassifier:
    """The candidate as the one that counts."""
    return FixedClassifier(
        candidate.network, held_out_accuracy=candidate.held_out_accuracy, architecture=candidate.classifier
    )


def best_held_out(candidates: Sequence[Candidate]) -> Candidate:
    """Best on held-out synthetic images; of equals the first training, and of one training the latest moment."""
    return max(candidates, key=lambda one: (one.held_out_accuracy, -one.seed, -one.training, one.step))


class Selection(ABC):
    """A rule that names one of the candidates before the test split is opened; its choice is the one reported."""

    chosen_on: ClassVar[str]
    """What the choice was made on, for the record."""

    @abstractmethod
    def choose(self, candidates: Sequence[Candidate]) -> Candidate:
        """One of `candidates`."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The public settings of the rule, and what it costs."""


@final
class HeldOutSynthetic(Selection):
    """The best on synthetic images that trained nothing. Privacy: post-processing, free."""

    chosen_on: ClassVar[str] = "held-out synthetic images"

    def choose(self, candidates: Sequence[Candidate]) -> Candidate:
        """The best; of equals the first training, and of one training the latest moment."""
        return best_held_out(candidates)

    def to_json(self) -> dict[str, Any]:
        """That it is free."""
        return {"chosen_on": self.chosen_on, "charge": None}


@final
@dataclass(frozen=True)
class NoisyValidation(Selection):
    """Report noisy max on private validation images, over architectures and moments jointly.

    Privacy: one release of `NoisyMaximum` from `private` under the label `validation`, charged before anything is read
    as the last charge of the plan: `NoisyValidation.charge(...)` must have been in it when the plan was adopted, before
    `fit`. The noise is drawn once for all candidates; what it names is reported, and no validation accuracy is.
    `private` holds images that no generator was fitted to, on the ledger of the run. With a `context` the winner is
    kept in its checkpoints: a run that was stopped afterwards does not ask a second time.
    """

    private: PrivateDataset
    scale: int = 10
    """Parameter of the noise in images: epsilon 1 / scale, and the choice is off by about `scale` correct images."""
    context: RunContext | None = None

    chosen_on: ClassVar[str] = "noisy validation on private images"

    def __post_init__(self) -> None:
        validate.count(1, scale=self.scale)

    @staticmethod
    def charge(relation: NeighboringRelation, *, scale: int = 10) -> Charge:
        """The charge that belongs at the end of the plan; it does not depend on how many candidates there will be."""
        return Charge(VALIDATION, NoisyMaximum(candidates=1, scale=scale, ballot=_nobody).event(relation))

    def choose(self, candidates: Sequence[Candidate]) -> Candidate:
        """The noisy winner. Raises: `PlanMismatch`, `BudgetExceeded` before anything is read; `DataError` for none."""
        if not candidates:
            raise DataError("a noisy validation needs a candidate; found none. Train at least one classifier.")
        networks = [candidate.network for candidate in candidates]

        def right(images: Tensor, labels: Tensor) -> Tensor:
            return torch.stack([predict(network, images).argmax(1) == labels for network in networks], dim=1)

        mechanism = NoisyMaximum(candidates=len(networks), scale=self.scale, ballot=right)

        def asked() -> dict[str, Tensor]:
            return {"winner": self.private.release(mechanism, label=VALIDATION)}

        answer = asked() if self.context is None else self.context.once("run.validation", asked)
        return candidates[int(answer["winner"])]

    def to_json(self) -> dict[str, Any]:
        """The scale of the noise and the charge's label."""
        return {"chosen_on": self.chosen_on, "charge": VALIDATION, "scale": self.scale}


def _nobody(images: Tensor, labels: Tensor) -> Tensor:
    raise AssertionError("made for its price alone")
