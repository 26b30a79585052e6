"""A public set under the classes of a private one. Class names are declared by the owner, so this costs nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dpgen.data.datasets import PublicDataset


def relabelled(public: PublicDataset, class_names: Sequence[str]) -> PublicDataset:
    """The public images to pretrain a conditional network on, each under one of `class_names`.

    Where public classes have the name of a private one, only those are taken, under that label. Else all are, the
    classes dealt over the private ones in turn: unrelated, but told apart by their label, as the private ones will be.
    """
    names = tuple(class_names)
    named = {own: names.index(name) for own, name in enumerate(public.class_names) if name in names}
    if not named:
        return PublicDataset(public.name, public.images, public.labels % len(names), names)
    kept = public.where(list(named))
    labels = torch.tensor([named[int(label)] for label in kept.labels], dtype=torch.int64)
    return PublicDataset(public.name, kept.images, labels, names)
