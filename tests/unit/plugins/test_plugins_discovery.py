"""Plugins are found by their entry points, one at a time; a broken one is kept as its error."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from dpgen import Registry
from dpgen.errors import DuplicateName, PluginLoadError, UnknownName
from dpgen.plugins.registry import default_registry

SOUND = """
import dpgen
from dpgen.accountants.base import Accountant, Bound

class Free(Accountant):
    name, kind, adaptive = "{name}", "approximation", True
    def supports(self, event, *, relation): return True
    def epsilon(self, event, *, delta, relation): return Bound(0.0, 0.0, 0.0, self.kind)
    def delta(self, event, *, epsilon, relation): return Bound(0.0, 0.0, 0.0, self.kind)

@dpgen.hookimpl
def dpgen_register_accountants():
    return [Free]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path where packages can be installed."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(site: Path, name: str, code: str, *, module: str = "", requires: tuple[str, ...] = ()) -> None:
    """What pip leaves behind for the package `dpgen-NAME` 1.2 with the entry point `name`."""
    module = module or f"plugin_under_test_{name}"
    (site / f"{module}.py").write_text(code)
    info = site / f"dpgen_{module}-1.2.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: dpgen-{name}", "Version: 1.2", *(f"Requires-Dist: {r}" for r in requires)]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    (info / "entry_points.txt").write_text(f"[dpgen]\n{name} = {module}\n")


def test_an_installed_plugin_is_found_with_its_version_and_source(site: Path) -> None:
    install(site, "alpha", SOUND.format(name="alpha_free"))
    registry = Registry.installed(["alpha"])
    assert registry.accountants() == ("alpha_free",)
    (status,) = registry.status()
    assert (status.distribution, status.version) == ("dpgen-alpha", "1.2")
    assert status.source == str(site / "plugin_under_test_alpha.py")


def test_all_installed_plugins_are_loaded_by_default_first_party_included(site: Path) -> None:
    install(site, "beta", SOUND.format(name="beta_free"))
    names = [status.name for status in Registry.installed().status()]
    assert {"beta", "builtin", "diffusion"} <= set(names)
    assert names == sorted(names)


def test_a_plugin_that_fails_to_import_is_kept_as_its_error(site: Path) -> None:
    install(site, "gamma", "raise ValueError('needs a newer compiler')")
    install(site, "delta", SOUND.format(name="delta_free"))
    registry = Registry.installed(["gamma", "delta"])
    assert registry.accountants() == ("delta_free",)
    with pytest.raises(PluginLoadError, match=r"'gamma' is unusable: importing .*needs a newer compiler"):
        registry.generator("gamma")
    with pytest.raises(UnknownName, match="'gamma' is unusable"):
        registry.generator("anything")


@pytest.mark.parametrize(
    ("requires", "mend"),
    [
        ((), "`pip install absent_module`, or `pip install --force-reinstall dpgen-epsilon`"),
        (("absent-module>=3",), "`pip install 'absent-module>=3'`"),
        (("absent-module>=3 ; extra == 'fast'",), r"`pip install 'dpgen-epsilon\[fast\]'`"),
        (("other ; python_version > '3'", "absent_module (>=3)"), r"`pip install 'absent_module \(>=3\)'`"),
    ],
)
def test_a_missing_dependency_is_named_with_the_pip_line_that_mends_it(
    site: Path, requires: tuple[str, ...], mend: str
) -> None:
    install(site, "epsilon", "import absent_module.part", requires=requires)
    with pytest.raises(PluginLoadError, match=f"needs the module 'absent_module', which is not installed. Run {mend}"):
        Registry.installed(["epsilon"]).generator("epsilon")


def test_a_missing_part_of_an_installed_package_asks_for_an_upgrade(site: Path) -> None:
    install(site, "zeta", "import dpgen.part_of_the_future")
    with pytest.raises(PluginLoadError, match=r"dpgen.part_of_the_future.*`pip install --upgrade dpgen`"):
        Registry.installed(["zeta"]).generator("zeta")


def test_two_packages_with_one_plugin_name_are_both_named_and_neither_loads(site: Path) -> None:
    install(site, "eta", SOUND.format(name="one"), module="plugin_under_test_eta_one")
    install(site, "eta", SOUND.format(name="two"), module="plugin_under_test_eta_two")
    other = site / "dpgen_plugin_under_test_eta_two-1.2.dist-info" / "METADATA"
    other.write_text(other.read_text().replace("dpgen-eta", "rival-eta"))
    registry = Registry.installed(["eta"])
    assert registry.accountants() == ()
    with pytest.raises(DuplicateName, match=r"dpgen-eta.*rival-eta"):
        registry.accountant("eta")


def test_the_environment_limits_loading(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "theta", SOUND.format(name="theta_free"))
    monkeypatch.setenv("DPGEN_PLUGINS", "theta, absent")
    default_registry.cache_clear()
    try:
        registry = default_registry()
        assert registry is default_registry()
        absent, theta = registry.status()
        assert (theta.name, theta.state) == ("theta", "ok")
        assert "no installed package provides it" in absent.state
        with pytest.raises(UnknownName, match="DPGEN_PLUGINS loads only: theta, absent"):
            registry.accountant("rdp")
    finally:
        default_registry.cache_clear()


def test_an_empty_environment_variable_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPGEN_PLUGINS", "")
    default_registry.cache_clear()
    try:
        assert default_registry().status() == ()
    finally:
        default_registry.cache_clear()


def test_asking_for_an_accountant_imports_no_deep_learning_library() -> None:
    program = (
        "import sys, dpgen; dpgen.default_registry().accountant('rdp'); "
        "sys.exit(', '.join({'torch', 'opacus', 'torchvision'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_plugin_that_was_broken_works_once_its_mended_module_is_registered(site: Path) -> None:
    install(site, "iota", "raise ValueError('half written')")
    registry = Registry.installed(["iota"])
    (site / "mended_iota.py").write_text(SOUND.format(name="iota_free"))
    registry.register(importlib.import_module("mended_iota"), name="iota")
    assert registry.accountants() == ("iota_free",)
    assert [status.state for status in registry.status()] == ["ok"]
