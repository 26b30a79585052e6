"""How many images of each class a score rests on, and how far the two label distributions are apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpgen.evaluation.base import Labels


def image_counts(
    synthetic: Labels, test: Labels, class_names: tuple[str, ...], *, training: int | None = None
) -> dict[str, Any]:
    """Exact numbers as plain JSON data: each set in all and by class, and the distance of their label distributions.

    The distance is total variation, half the sum of |p(class) - q(class)|, in [0, 1]. Synthetic images come as even
    over the classes as possible, since the true counts are private. Where the real ones are uneven, `accuracy` judges a
    classifier that learnt another prior, and distances of whole sets contain the difference; `balanced_accuracy` and
    `frechet_by_class` weigh all classes alike and do not depend on either prior.
    """
    counts = {
        name: np.bincount(labels, minlength=len(class_names))
        for name, labels in (("synthetic", synthetic), ("test", test))
    }
    shares = [count / count.sum() for count in counts.values()]
    found: dict[str, Any] = {
        name: {"images": int(count.sum()), "by_class": dict(zip(class_names, count.tolist(), strict=True))}
        for name, count in counts.items()
    }
    if training is not None:
        found["training"] = {"images": training}
    return found | {"label_distance": float(np.abs(shares[0] - shares[1]).sum() / 2)}
