"""The hooks: each has a test of its name, and a plugin with a wrong hook stays out altogether."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import dpgen
from dpgen import Registry
from dpgen.accountants.base import Accountant, Bound
from dpgen.errors import PluginLoadError
from dpgen.generators.base import Generator
from dpgen.mechanisms.base import Mechanism


def module(**members: Any) -> ModuleType:
    """A plugin module with these members."""
    made = ModuleType("plugin_under_test")
    vars(made).update(members)
    return made


def plugin(**hooks: Any) -> ModuleType:
    """A plugin whose hooks are the given functions."""
    for name, function in hooks.items():
        function.__name__ = name
    return module(**{name: dpgen.hookimpl(function) for name, function in hooks.items()})


def concrete(base: type, name: str) -> Any:
    """A concrete class of a contract: every abstract member is there."""
    members: dict[str, Any] = dict.fromkeys(getattr(base, "__abstractmethods__", ()), lambda self: None)
    return type(name.title(), (base,), members | {"name": name, "api_version": dpgen.API_VERSION})


class Free(Accountant):
    name = "free"
    kind = "approximation"
    adaptive = True

    def supports(self, event, *, relation):
        return True

    def epsilon(self, event, *, delta, relation):
        return Bound(0.0, 0.0, 0.0, self.kind)

    def delta(self, event, *, epsilon, relation):
        return Bound(0.0, 0.0, 0.0, self.kind)


def test_hook_dpgen_register_accountants() -> None:
    registry = Registry()
    registry.register(plugin(dpgen_register_accountants=lambda: [Free]), name="mine")
    assert registry.accountant("free") is Free
    assert registry.accountants() == ("free",)


def test_hook_dpgen_register_generators() -> None:
    cls = concrete(Generator, "blur")
    registry = Registry()
    registry.register(plugin(dpgen_register_generators=lambda: [cls]), name="mine")
    assert registry.generator("blur") is cls
    assert registry.generators() == ("blur",)


def test_hook_dpgen_register_mechanisms() -> None:
    cls = concrete(Mechanism, "median")
    registry = Registry()
    registry.register(plugin(dpgen_register_mechanisms=lambda: (cls,)), name="mine")
    assert registry.mechanism("median") is cls
    assert registry.mechanisms() == ("median",)


def test_hook_dpgen_register_metrics() -> None:
    from dpgen.evaluation.base import Metric

    cls = concrete(Metric, "sharpness")
    registry = Registry()
    registry.register(plugin(dpgen_register_metrics=lambda: [cls]), name="mine")
    assert registry.metric("sharpness") is cls
    assert registry.metrics() == ("sharpness",)


def test_hook_dpgen_register_feature_extractors() -> None:
    from dpgen.evaluation.extractor import FeatureExtractor

    cls = concrete(FeatureExtractor, "x_rays")
    registry = Registry()
    registry.register(plugin(dpgen_register_feature_extractors=lambda: [cls]), name="mine")
    assert registry.feature_extractor("x_rays") is cls
    assert registry.feature_extractors() == ("x_rays",)


def test_hook_dpgen_register_datasets() -> None:
    from dpgen.data.sources.base import ImageSource

    cls = concrete(ImageSource, "squares")
    registry = Registry()
    registry.register(plugin(dpgen_register_datasets=lambda: [cls]), name="mine")
    assert registry.dataset("squares") is cls
    assert registry.datasets() == ("squares",)


def test_hook_dpgen_run_finished() -> None:
    seen: list[object] = []
    registry, record = Registry(), object()
    registry.register(plugin(dpgen_run_finished=lambda record: seen.append(record)), name="mine")
    registry.run_finished(record)  # type: ignore[arg-type]
    assert seen == [record]


def test_hook_dpgen_run_progress(tmp_path: Path) -> None:
    seen: list[object] = []
    registry = Registry()
    registry.register(plugin(dpgen_run_progress=lambda event, folder: seen.append((event, folder))), name="mine")
    event = dpgen.ProgressEvent(run="demo", phase="finetune", state="begun", done=0, total=5, epsilon=1.0)
    registry.trackers().tell(event, tmp_path)
    assert seen == [(event, tmp_path)]


def test_an_observer_that_raises_is_named_and_the_others_are_still_told() -> None:
    def fail(record: object) -> None:
        raise OSError("disk full")

    seen: list[object] = []
    registry = Registry()
    registry.register(plugin(dpgen_run_finished=fail), name="a_fails")
    registry.register(plugin(dpgen_run_finished=lambda record: seen.append(record)), name="b_works")
    with pytest.warns(RuntimeWarning, match=r"the run is complete, but plugin 'a_fails'.*disk full"):
        registry.run_finished("record")  # type: ignore[arg-type]
    assert seen == ["record"]


def test_registration_hooks_receive_the_api_version_when_they_ask_for_it() -> None:
    versions: list[int] = []
    registry = Registry()
    registry.register(
        plugin(dpgen_register_accountants=lambda api_version: versions.append(api_version) or []), name="p"
    )
    assert registry.accountants() == ()
    assert versions == [dpgen.API_VERSION]


def test_hook_dpgen_conformance_examples() -> None:
    registry = Registry()
    registry.register(plugin(dpgen_conformance_examples=lambda info: [info, Free()]), name="mine")
    given, example = registry.conformance_examples("facts")  # type: ignore[arg-type]
    assert given == "facts"
    assert isinstance(example, Free)
    registry.register(plugin(dpgen_conformance_examples=lambda: Free()), name="other")
    with pytest.raises(PluginLoadError, match=r"'other' is unusable.*must return a list of objects; found a Free"):
        registry.conformance_examples("facts")  # type: ignore[arg-type]


def test_a_misspelt_hook_is_refused_with_the_nearest_name() -> None:
    registry = Registry()
    misspelt = plugin(dpgen_register_generater=lambda: [Free], dpgen_register_accountants=lambda: [Free])
    with pytest.raises(
        PluginLoadError,
        match=r"unknown hook dpgen_register_generater. Did you mean dpgen_register_generators",
    ):
        registry.register(misspelt, name="mine")
    assert registry.accountants() == ()  # the good hook did not stay behind


def test_a_hook_with_an_unknown_argument_is_refused() -> None:
    registry = Registry()
    wrong = plugin(dpgen_register_accountants=lambda: [Free], dpgen_register_generators=lambda color: [])
    with pytest.raises(PluginLoadError, match=r"color.*docs/reference/hooks.md"):
        registry.register(wrong, name="mine")
    assert registry.accountants() == ()


def test_a_hook_without_the_mark_is_refused() -> None:
    def dpgen_register_accountants() -> list[type]:
        return [Free]

    unmarked = module(dpgen_register_accountants=dpgen_register_accountants)
    with pytest.raises(PluginLoadError, match=r"dpgen_register_accountants looks like a hook.*@dpgen.hookimpl"):
        Registry().register(unmarked, name="mine")


def test_an_object_that_cannot_be_a_plugin_is_refused_and_stops_no_other() -> None:
    registry = Registry()
    registry.register(plugin(dpgen_register_accountants=lambda: [Free]), name="mine")
    with pytest.raises(PluginLoadError, match="it is a dict"):
        registry.register({}, name="odd")
    assert registry.accountant("free") is Free


def test_a_plugin_without_any_hook_is_refused() -> None:
    with pytest.raises(PluginLoadError, match="implements no hook"):
        Registry().register(module(), name="mine")


def test_a_refused_plugin_can_be_mended_and_registered_again() -> None:
    registry = Registry()
    with pytest.raises(PluginLoadError):
        registry.register(plugin(dpgen_register_acountants=lambda: [Free]), name="mine")
    registry.register(plugin(dpgen_register_accountants=lambda: [Free]), name="mine")
    assert registry.accountant("free") is Free


def test_a_second_plugin_of_the_same_name_leaves_the_first_alone() -> None:
    registry = Registry()
    registry.register(plugin(dpgen_register_accountants=lambda: [Free]), name="mine")
    with pytest.raises(PluginLoadError, match="already in"):
        registry.register(plugin(dpgen_register_accountants=lambda: ()), name="mine")
    assert registry.accountant("free") is Free
