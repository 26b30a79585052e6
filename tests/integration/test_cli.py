"""The command line: what is printed where, exit codes, and that asking for help loads nothing heavy."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dpgen.cli.app import main
from dpgen.config import to_toml
from dpgen.plugins import registry as registries
from dpgen.plugins.registry import default_registry
from dpgen.testing.toy import ToyPlugin
from dpgen.testing.toy_run import toy_config

GAUSSIAN = {"type": "Gaussian", "noise_multiplier": 1.0}


@pytest.fixture(autouse=True)
def _toy_is_installed() -> Iterator[None]:
    default_registry.cache_clear()
    default_registry().register(ToyPlugin, name="toy")
    yield
    registries.default_registry.cache_clear()


class Command:
    """Runs `dpgen ...` in this process; keeps the exit code and what was printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.code, self.out, self.err = 0, "", ""

    def __call__(self, *arguments: object) -> Command:
        self._monkeypatch.setattr(sys, "argv", ["dpgen", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        self.code = left.value.code or 0
        self.out, self.err = self._capsys.readouterr()
        return self

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def dpgen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)


def written(folder: Path, *overrides: str) -> Path:
    path = folder / "toy.toml"
    path.write_text(to_toml(toy_config(folder, overrides)))
    return path


def test_run_prints_the_guarantee_and_where_things_are(dpgen: Command, tmp_path: Path):
    scored = [f"data.test={tmp_path}/test.npz", "evaluation.steps=4", "evaluation.feature_steps=2"]
    done = dpgen("run", written(tmp_path, *scored), "--out", tmp_path / "here")
    assert done.code == 0
    words = " ".join(done.out.split())
    assert "epsilon=8, delta=" in words
    assert "Scores that read private images are not part of the DP release" in words
    assert max(map(len, done.out.splitlines())) <= 100  # the width where there is no terminal
    assert "noisy mean brightness" in words  # what the generator published
    assert "samples.png" in "".join(done.out.split())
    assert (tmp_path / "here/release/samples.png").exists()
    assert "class-means" in done.err  # the plan is shown before it is run


def test_run_json_is_json_alone_and_quiet_is_quiet(dpgen: Command, tmp_path: Path):
    done = dpgen("run", written(tmp_path), "--json", "--quiet")
    assert done.code == 0
    assert done.json["record"]["guarantee"]["epsilon_upper"] <= 8.0
    assert done.json["folder"] == str(tmp_path / "run")
    assert done.err == ""
    again = dpgen("run", tmp_path / "toy.toml", "--resume", "--json")
    assert again.code == 0
    assert "is finished" in again.err
    assert again.json["record"] == done.json["record"]
    refused = dpgen("run", tmp_path / "toy.toml")
    assert refused.code == 1
    assert "holds a finished run" in refused.err


def test_sample_reads_the_release_alone(dpgen: Command, tmp_path: Path):
    assert dpgen("run", written(tmp_path), "-q").code == 0
    for private in ("private.npz", "public.npz"):
        (tmp_path / private).unlink()
    made = dpgen("sample", tmp_path / "run", "--count", 5, "--labels", "high,low", "--format", "npz", "--json", "-q")
    assert made.code == 0
    assert made.json["privacy_cost"] == 0
    assert Path(made.json["images"]).exists()
    assert "unknown class 'tall'" in dpgen("sample", tmp_path / "run", "--labels", "tall").err
    assert dpgen.code == 2
    assert "holds files" in dpgen("sample", tmp_path / "run", "--format", "npz", "-q").err
    assert "Give the folder of a finished run" in dpgen("sample", tmp_path / "nowhere").err


def test_sample_refuses_an_unknown_format(dpgen: Command, tmp_path: Path):
    refused = dpgen("sample", tmp_path, "--format", "jpg")
    assert refused.code == 2
    assert "one of auto, parquet, npz, imagefolder; found 'jpg'" in refused.err


def test_plan_shows_each_charge(dpgen: Command, tmp_path: Path):
    shown = dpgen("plan", written(tmp_path))
    assert shown.code == 0
    assert "class-means" in shown.out
    assert "No data was opened" in " ".join(shown.out.split())
    data = dpgen("plan", tmp_path / "toy.toml", "--json", "--set", "privacy.epsilon=2").json
    assert [charge["label"] for charge in data["charges"]] == ["class-means", "refine"]
    assert data["charges"][1]["cumulative_epsilon"] <= 2.0
    assert data["charges"][0]["epsilon"] == pytest.approx(0.6, rel=1e-3)
    assert data["budget"]["relation"] == "add_or_remove_one"


def test_over_budget_is_exit_code_3(dpgen: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from dpgen.testing import toy

    honest = toy.split_budget
    monkeypatch.setattr(
        toy,
        "split_budget",
        lambda accountant, budget, parts: honest(accountant, replace(budget, epsilon=2 * budget.epsilon), parts),
    )
    for command in ("plan", "run"):
        refused = dpgen(command, written(tmp_path))
        assert refused.code == 3
        assert "BudgetExceeded" in refused.err
        assert refused.out == ""
    assert not (tmp_path / "run").exists()


def test_a_budget_that_no_noise_meets_is_exit_code_3(dpgen: Command, tmp_path: Path):
    assert dpgen("plan", written(tmp_path), "--set", "privacy.epsilon=1e-9").code == 3
    assert "Raise the budget" in dpgen.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "method.stepps=3"], "Did you mean 'steps'"),
        (["--set", "privacy.epsilonn=3"], "Did you mean 'epsilon'"),
        (["--set", "nonsense"], "privacy.epsilon=1.0"),
        (["--preset", "demo"], "found both"),
    ],
)
def test_usage_errors_are_exit_code_2(dpgen: Command, tmp_path: Path, arguments: list[str], said: str):
    refused = dpgen("plan", written(tmp_path), *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert "Traceback" not in refused.err


def test_the_exact_gaussian(dpgen: Command, tmp_path: Path):
    path = tmp_path / "event.json"
    path.write_text(json.dumps(GAUSSIAN))
    priced = dpgen("account", path, "--delta", 1e-5, "--accountant", "gdp", "--json").json
    assert priced["upper"] == pytest.approx(4.3772, abs=1e-4)  # analytic Gaussian, Balle and Wang 2018
    back = dpgen("account", path, "--epsilon", priced["upper"], "--accountant", "gdp", "--json").json
    assert back["asked"] == "delta"
    assert back["upper"] == pytest.approx(1e-5, rel=1e-6)
    replaced = dpgen("account", path, "--delta", 1e-5, "--accountant", "gdp", "--relation", "replace_one", "--json")
    assert replaced.json["upper"] > priced["upper"]
    assert "upper" in dpgen("account", path, "--delta", 1e-5).out


def test_what_costs_everything_is_still_json(dpgen: Command, tmp_path: Path):
    path = tmp_path / "event.json"
    path.write_text('{"type": "NonPrivate"}')
    assert dpgen("account", path, "--delta", 1e-5, "--json").json["upper"] == "inf"


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        ("{", ["--delta", "1e-5"], "expected an event as JSON"),
        ('{"type": "Gauss"}', ["--delta", "1e-5"], "an event needs a `type`"),
        (json.dumps(GAUSSIAN), [], "--delta or --epsilon"),
        (json.dumps(GAUSSIAN), ["--delta", "2"], "delta"),
        (json.dumps(GAUSSIAN), ["--delta", "1e-5", "--accountant", "pvr"], "Did you mean 'prv'"),
    ],
)
def test_account_tells_what_it_needs(dpgen: Command, tmp_path: Path, content: str, arguments: list[str], said: str):
    (tmp_path / "event.json").write_text(content)
    refused = dpgen("account", tmp_path / "event.json", *arguments)
    assert refused.code == 2
    assert said in refused.err


def test_plugins_are_listed(dpgen: Command):
    listed = {plugin["name"]: plugin for plugin in dpgen("plugins", "--json").json}
    assert listed["toy"]["registered"] == {"generators": ["toy"]}
    assert listed["builtin"]["state"] == "ok"
    shown = dpgen("plugins").out
    assert re.search(r"^toy .* ok\n  generators +toy *$", shown, re.MULTILINE)


def test_an_unforeseen_error_is_not_quoted(dpgen: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from dpgen.testing.toy import ToyGenerator

    def broken(self, *_):
        raise RuntimeError("pixel 0.731 of record 17")

    monkeypatch.setattr(ToyGenerator, "fit", broken)
    failed = dpgen("run", written(tmp_path), "-q")
    assert failed.code == 1
    assert "0.731" not in failed.err
    assert "dpgen --debug" in failed.err
    assert "0.731" not in (tmp_path / "run/internal/run.log").read_text()
    monkeypatch.setattr(sys, "argv", ["dpgen", "--debug", "run", str(tmp_path / "toy.toml"), "-q", "--resume"])
    with pytest.raises(RuntimeError, match="pixel"):
        main()


def test_help_loads_nothing_heavy():
    heavy = "torch", "numpy", "scipy", "pydantic", "matplotlib", "jinja2", "dpgen.pipeline"
    script = (
        "import sys\nfrom dpgen.cli.app import main\nsys.argv = ['dpgen', '--help']\ntry:\n    main()\n"
        f"except SystemExit as left:\n    assert not left.code\nfound = [m for m in {heavy} if m in sys.modules]\n"
        "sys.exit(f'loaded {found}' if found else 0)"
    )
    helped = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert helped.returncode == 0, helped.stderr
    assert "account" in helped.stdout


_SLOW_RUN = """
import sys, time
from dpgen.plugins.registry import default_registry
from dpgen.testing import toy
default_registry().register(toy.ToyPlugin, name="toy")
refine = toy.ToyGenerator._refine
def slow(self, private, plan, start):
    print("refining", file=sys.stderr, flush=True)
    time.sleep(60)
toy.ToyGenerator._refine = slow
from dpgen.cli.app import main
sys.argv = ["dpgen", "run", sys.argv[1], "-q"]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_says_how_to_go_on_and_can(dpgen: Command, tmp_path: Path, number: signal.Signals):
    config = written(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", _SLOW_RUN, config], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "refining\n"
    begun = time.monotonic()
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - begun < 10
    assert process.returncode == 128 + number
    assert "--resume" in said
    assert "Traceback" not in said
    assert dpgen("run", config, "--resume", "--json", "-q").code == 0
    assert [charge["label"] for charge in dpgen.json["record"]["charges"]] == ["class-means", "refine"]
