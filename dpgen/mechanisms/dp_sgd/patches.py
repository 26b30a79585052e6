"""Every part with trainable parameters put on its route for one pass, and back as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from dpgen.mechanisms.dp_sgd.by_example import Forward, looped, mapped
from dpgen.mechanisms.dp_sgd.layers import rule_for
from dpgen.mechanisms.dp_sgd.leaves import Leaves, Rule, make_leaf
from dpgen.mechanisms.dp_sgd.passage import Passage, leave_map
from dpgen.mechanisms.dp_sgd.routes import Route, route_of
from dpgen.mechanisms.dp_sgd.uses import Uses

_Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its first arguments. Not a `partial`: a program traced with one is bound to that very object."""

_IDLE: Final[_Call] = (lambda: None, ())


class _StandIn:
    """What a part's forward is while a pass lasts: one object per part for all passes, idle between them.

    A loss under `torch.compile` is traced with it, and stays valid only as long as the next pass finds it again; what
    changes from pass to pass (the leaves) is read anew, as input of the traced program.
    """

    def __init__(self) -> None:
        self.call = _IDLE

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        function, first = self.call
        return function(*first, *arguments, **options)


_STAND_INS: Final[WeakKeyDictionary[nn.Module, _StandIn]] = WeakKeyDictionary()


@contextmanager
def leaves_in_place(
    module: nn.Module, parameters: Mapping[str, nn.Parameter], examples: int, rows: int, uses: Uses | None = None
) -> Iterator[dict[str, Tensor]]:
    """The leaf of every parameter, with all parts routed to them; undone on leaving, also by an error.

    What is better replayed goes to `uses` instead of the leaf; where that is None, nothing does.
    """
    leaves = {name: make_leaf(p, examples) for name, p in parameters.items()}
    of_parameter = {p: leaves[name] for name, p in parameters.items()}  # a shared weight has one leaf
    here = Passage(examples, rows, uses)
    calls = {part: call for part in module.modules() if (call := _routed(part, of_parameter, here))}
    before = {part: vars(part).get("forward") for part in calls}
    try:
        for part, call in calls.items():
            vars(part)["forward"] = stand_in = _STAND_INS.setdefault(part, _StandIn())
            stand_in.call = call
        yield leaves
    finally:
        for part, forward in before.items():
            _STAND_INS[part].call = _IDLE  # keeps nothing of the pass alive
            if forward is None:
                vars(part).pop("forward", None)
            else:
                vars(part)["forward"] = forward


def _routed(part: nn.Module, leaves: Mapping[nn.Parameter, Tensor], here: Passage) -> _Call | None:
    """What is computed instead of the forward of `part`, or None where it needs nothing."""
    route = route_of(part)
    if route is None:
        return None
    if route is Route.MAPPED:
        return mapped, (part, part.forward, _inside(part, leaves, rules_too=False), here)
    if route is Route.LOOPED:
        return looped, (part, part.forward, _inside(part, leaves, rules_too=True), here)
    own = {key: leaves.get(p) for key, p in part._parameters.items() if p is not None}
    rule = rule_for(part)
    assert rule is not None
    return _by_rule, (part, part.forward, rule, Leaves(own.get("weight"), own.get("bias"), here.uses), here)


def _inside(part: nn.Module, leaves: Mapping[nn.Parameter, Tensor], *, rules_too: bool) -> dict[str, Tensor]:
    """The leaf of each parameter inside `part`, by its name there; a shared one under each of its names."""
    found = {}
    for prefix, inner in part.named_modules(remove_duplicate=False):
        if rules_too or rule_for(inner) is None:
            for key, p in inner._parameters.items():
                if p is not None and p in leaves:
                    found[f"{prefix}.{key}" if prefix else key] = leaves[p]
    return found


_LAST_AXES = (nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.Embedding)
"""Layers that act on the last axes, whatever the others are."""


def _by_rule(
    layer: nn.Module,
    forward: Forward,
    rule: Rule,
    leaves: Leaves,
    here: Passage,
    input: Tensor,
    *more: Any,
    **named: Any,
) -> Tensor:
    if here.alone:
        return forward(input, *more, **named)  # type: ignore[no-any-return]
    if here.token is None:
        here.require_rows(layer, input)
        return rule(layer, input, leaves, here.examples, *more, **named)

    def on_all_rows(whole: Tensor) -> Tensor:
        if isinstance(layer, _LAST_AXES):
            return rule(layer, whole, leaves, here.examples, *more, **named)
        rows = rule(layer, whole.flatten(0, 1), leaves, here.examples, *more, **named)
        return rows.view(here.examples, -1, *rows.shape[1:])

    return leave_map(on_all_rows, here.token, input)
