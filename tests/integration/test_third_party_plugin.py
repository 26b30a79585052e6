"""A third-party package: installed by pip, found by its entry point, shown by `dpgen plugins`, run by `dpgen run`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "third_party" / "dpgen_blur"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds dpgen-blur as pip installs it. The sources are copied: a build leaves files beside them."""
    sources, target = tmp_path_factory.mktemp("sources") / "blur", tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE, sources)
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, "--target", target, sources], check=True)
    return target


def dpgen(site: Path, folder: Path, *arguments: str) -> str:
    """Standard output of the command line, with the packages of `site` installed too."""
    program = "from dpgen.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_dpgen_plugins_shows_the_package_and_all_that_it_brings(site: Path, tmp_path: Path) -> None:
    assert "blur" not in {found.name for found in entry_points(group="dpgen")}  # here, where it is not installed
    listed = {plugin["name"]: plugin for plugin in json.loads(dpgen(site, tmp_path, "plugins", "--json"))}
    blur = listed["blur"]
    assert blur["state"] == "ok"
    assert (blur["distribution"], blur["version"]) == ("dpgen-blur", "0.1.0")
    assert blur["source"] == str(site / "dpgen_blur" / "__init__.py")
    assert blur["registered"] == {"generators": ["blur"], "mechanisms": ["ink_counts"], "accountants": ["zcdp"]}
    assert {"builtin", "diffusion"} <= set(listed)
    assert {name for name, plugin in listed.items() if plugin["state"] != "ok"} == set()


def test_dpgen_run_runs_its_generator_under_its_accountant(site: Path, tmp_path: Path) -> None:
    shutil.copy(PACKAGE / "blur.toml", tmp_path)
    settings = ("privacy.accountant=zcdp", "run.count=30", "evaluation.enabled=false")
    dpgen(site, tmp_path, "run", "blur.toml", "--json", *(part for setting in settings for part in ("--set", setting)))
    release = tmp_path / "runs" / "blur" / "release"
    record = json.loads((release / "run.json").read_text())
    assert record["generator"] == "blur"
    assert record["guarantee"]["accountant"] == "zcdp"
    assert record["guarantee"]["kind"] == "bound"
    assert 3.9 < record["guarantee"]["epsilon_upper"] <= 4.0
    assert [charge["label"] for charge in record["charges"]] == ["class-means"]
    assert record["charges"][0]["event"]["type"] == "Gaussian"
