"""Which way each part of a module gets its per-example gradients."""

from __future__ import annotations

from enum import Enum
from typing import Final

from torch import nn

from dpgen.mechanisms.dp_sgd.layers import rule_for


class Route(Enum):
    """How a part's own trainable parameters get one gradient per example; all three are exact."""

    RULE = "rule"
    """A rule for the layer type: the views folded into the library's own kernels. Nearly the price of training."""
    MAPPED = "mapped"
    """The part's forward under `torch.func.vmap` over the examples; layers inside it that have a rule keep it."""
    LOOPED = "looped"
    """The part's forward once per example, for kernels that cannot be mapped. As slow as a batch of one."""


_CANNOT_BE_MAPPED = (nn.RNNBase, nn.RNNCellBase, nn.EmbeddingBag)


def route_of(part: nn.Module) -> Route | None:
    """The route of `part`, or None where it holds no trainable parameter of its own."""
    if not any(p is not None and p.requires_grad for p in part._parameters.values()):
        return None
    if rule_for(part) is not None:
        return Route.RULE
    return Route.LOOPED if any(isinstance(inner, _CANNOT_BE_MAPPED) for inner in part.modules()) else Route.MAPPED


def gradient_routes(module: nn.Module) -> dict[str, Route]:
    """The route of every part that holds trainable parameters of its own, by its name in `module` ("" is itself).

    Costs no privacy: the module is looked at, not run. A part inside one that is looped is computed in its loop.
    """
    found = ((name, route_of(part)) for name, part in module.named_modules())
    return {name: route for name, route in found if route is not None}


_SLOWER: Final = {
    Route.MAPPED: "are found by torch.func: exact, but slower than by a rule of their layer.",
    Route.LOOPED: "are found one example after another: exact, but as slow as batches of one.",
}


def gradient_notes(module: nn.Module) -> tuple[str, ...]:
    """What a plan should say of parts that are slower than training: one sentence per route, none where all have rules.

    Costs no privacy: the module is looked at, not run.
    """
    names: dict[Route, list[str]] = {Route.MAPPED: [], Route.LOOPED: []}
    for name, route in gradient_routes(module).items():
        if route in names:
            names[route].append(f"{name or 'the module itself'} ({type(module.get_submodule(name)).__name__})")
    return tuple(
        f"The per-example gradients of {', '.join(parts)} {_SLOWER[route]}" for route, parts in names.items() if parts
    )
