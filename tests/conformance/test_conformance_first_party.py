"""Everything that dpgen itself registers keeps the promises of its contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dpgen import default_registry
from dpgen.accountants import (
    ContourAccountant,
    GdpAccountant,
    GdpCltAccountant,
    PldAccountant,
    PrvAccountant,
    RdpAccountant,
)
from dpgen.evaluation import metrics
from dpgen.plugins.builtin import dpgen_conformance_examples as mechanisms
from dpgen.testing.conformance import TOY_INFO, parametrize_with_checks
from dpgen.testing.conformance.selection import KINDS
from dpgen.testing.toy import ToyConfig, ToyGenerator
from dpgen_plugins.diffusion.examples import examples
from dpgen_plugins.evolution.examples import examples as evolution_methods
from dpgen_plugins.gan.examples import examples as gan_methods
from dpgen_plugins.gan.examples import sharded_critics
from dpgen_plugins.kernel.examples import examples as kernel_methods
from dpgen_plugins.vae.examples import examples as vae_methods

PRIVIMAGE, *OTHER_METHODS = examples()
GENERATORS = [ToyGenerator(ToyConfig(expected_batch=8, steps=2)), PRIVIMAGE, *kernel_methods(), *evolution_methods()]
MECHANISMS = [*mechanisms(TOY_INFO), sharded_critics(TOY_INFO)]
ACCOUNTANTS = [RdpAccountant(), GdpAccountant(), GdpCltAccountant()]
SLOW = [*OTHER_METHODS, *gan_methods(), *vae_methods(), PldAccountant(), PrvAccountant(), ContourAccountant()]
METRICS = [getattr(metrics, name)() for name in metrics.__all__]


@parametrize_with_checks([*GENERATORS, *MECHANISMS, *ACCOUNTANTS, *METRICS])
def test_first_party_classes_conform(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@parametrize_with_checks(SLOW)
def test_slow_first_party_classes_conform(check: Callable[[], None]) -> None:
    check()


def test_no_registered_class_is_left_out() -> None:
    registry = default_registry()
    checked = {type(subject) for subject in (*GENERATORS, *MECHANISMS, *ACCOUNTANTS, *SLOW, *METRICS)}
    for kind in KINDS:
        registered = {getattr(registry, kind)(name) for name in getattr(registry, f"{kind}s")()}
        assert {cls for cls in registered if cls.__module__.startswith("dpgen")} <= checked
