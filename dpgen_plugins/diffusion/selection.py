"""Which public classes each private class takes, from a noisy histogram alone: post-processing, free."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment, linprog
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.data.writing import contact_sheet
from dpgen.errors import InvalidValue
from dpgen.mechanisms.context import RunContext

Histogram = NDArray[np.int64]
EXAMPLES = 8
"""Public images drawn for each chosen class."""


def assign_public_classes(histogram: Histogram, *, per_class: int) -> tuple[tuple[int, ...], ...]:
    """For each private class the `per_class` public classes it takes, best first.

    The total share of votes served is the largest possible: an assignment problem, so the outcome does not depend on
    the order of the classes (taking greedily in index order, as the reference implementation does, does). Votes count
    as shares of their private class, so a rare class is served as well as a common one. A public class serves one
    private class; where there are too few of them, as few private classes as can be.

    Args: `histogram` noisy votes `[private classes, public classes]`.
    Raises: `InvalidValue` when a private class has to take more public classes than there are.
    """
    private_classes, public_classes = histogram.shape
    require_enough(public_classes, per_class=per_class)
    votes = np.maximum(histogram, 0).astype(np.float64)
    shares = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1.0)
    served = -(-private_classes * per_class // public_classes)
    takes = _each_once(shares, per_class) if served == 1 else _shared(shares, per_class, served)
    return tuple(
        tuple(sorted(np.flatnonzero(own).tolist(), key=lambda c: (-shares[row, c], c))) for row, own in enumerate(takes)
    )


def require_enough(public_classes: int, *, per_class: int) -> None:
    """Raises: `InvalidValue` when a private class has to take more public classes than there are."""
    if per_class > public_classes:
        raise InvalidValue(
            f"a row of votes cannot take {per_class} of {public_classes} public classes. "
            "Use a public set with more classes, or a smaller `query.classes_per_class` or `query.ratio`."
        )


def _each_once(shares: NDArray[np.float64], per_class: int) -> NDArray[np.bool_]:
    """Who takes what, `[private classes, public classes]`, where a public class is taken once."""
    takes = np.zeros(shares.shape, bool)
    places = np.repeat(shares, per_class, axis=0)  # one row for each place that a private class has to fill
    rows, columns = linear_sum_assignment(places, maximize=True)
    takes[rows // per_class, columns] = True
    return takes


def _shared(shares: NDArray[np.float64], per_class: int, served: int) -> NDArray[np.bool_]:
    """The same where a public class is taken by `served` private ones at most: a transportation problem.

    The corners of its feasible set are whole numbers (Hoffman, Kruskal 1956), and the dual simplex ends in a corner.
    """
    rows, columns = shares.shape
    of_row = sparse.kron(sparse.eye(rows), np.ones((1, columns)))
    of_column = sparse.kron(np.ones((1, rows)), sparse.eye(columns))
    solved = linprog(
        -shares.ravel(),
        A_eq=of_row,
        b_eq=np.full(rows, per_class),
        A_ub=of_column,
        b_ub=np.full(columns, served),
        bounds=(0, 1),
        method="highs-ds",
    )
    return np.asarray(solved.x > 0.5).reshape(shares.shape)


@dataclass(frozen=True)
class Selection:
    """The outcome of the query: a noisy histogram and the public classes chosen from it. DP output, may be released."""

    histogram: Histogram
    chosen: tuple[tuple[int, ...], ...]
    private_names: tuple[str, ...]
    public_names: tuple[str, ...]

    @staticmethod
    def of(histogram: Histogram, names: tuple[str, ...], public: PublicDataset, *, per_class: int) -> Selection:
        """Choose `per_class` public classes for each row of the histogram; `names` are those of the rows.

        A public class without an image is never chosen, whatever noise voted for it.
        """
        shown = np.flatnonzero(torch.bincount(public.labels, minlength=len(public.class_names)).numpy())
        among = assign_public_classes(histogram[:, shown], per_class=per_class)
        chosen = tuple(tuple(int(shown[c]) for c in taken) for taken in among)
        return Selection(histogram, chosen, names, public.class_names)

    def chosen_set(self, public: PublicDataset) -> PublicDataset:
        """The chosen public images under their own public classes, and no other class."""
        classes = sorted({c for taken in self.chosen for c in taken})
        images = public.where(classes)
        labels = torch.searchsorted(torch.tensor(classes), images.labels)
        return PublicDataset(public.name, images.images, labels, tuple(public.class_names[c] for c in classes))

    def training_set(self, public: PublicDataset) -> tuple[Tensor, Tensor]:
        """The chosen public images (uint8) under the labels of the private classes that took them: of each one."""
        takes = torch.zeros(len(self.public_names), len(self.chosen), dtype=torch.bool)
        for private_class, taken in enumerate(self.chosen):
            takes[list(taken), private_class] = True
        rows, labels = torch.nonzero(takes[public.labels], as_tuple=True)
        return public.images[rows], labels

    def publish(self, public: PublicDataset, context: RunContext) -> None:
        """Put `selection.json` and `selection.png` among the released files."""
        context.publish("selection.json", (json.dumps(self.to_json(), ensure_ascii=False, indent=2) + "\n").encode())
        names = [f"{self.private_names[i]}: {self._names(i)}" for i in range(len(self.chosen))]
        rows = [self._examples(public, taken) for taken in self.chosen]
        context.publish("selection.png", contact_sheet(torch.cat(rows), columns=EXAMPLES, row_names=names))

    def to_json(self) -> dict[str, Any]:
        """Chosen public classes by private class, and their noisy shares of the votes, in percent."""
        votes = np.maximum(self.histogram, 0)
        shares = np.round(100 * votes / np.maximum(votes.sum(axis=1, keepdims=True), 1), 1)
        return {
            "private_class": {
                self.private_names[row]: [
                    {"public_class": self.public_names[c], "noisy_share_of_votes_percent": float(shares[row, c])}
                    for c in taken
                ]
                for row, taken in enumerate(self.chosen)
            },
        }

    def _names(self, private_class: int) -> str:
        return " ".join(self.public_names[c] for c in self.chosen[private_class])

    @staticmethod
    def _examples(public: PublicDataset, taken: tuple[int, ...]) -> Tensor:
        """`EXAMPLES` public images, dealt over the classes taken."""
        pools = [torch.nonzero(public.labels == c).flatten() for c in taken]
        turns = [(pools[i % len(pools)], i // len(pools)) for i in range(EXAMPLES)]
        rows = torch.stack([pool[turn % len(pool)] for pool, turn in turns])
        return public.images[rows].float() / 255
