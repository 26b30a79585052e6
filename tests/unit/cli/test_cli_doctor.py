"""The doctor passes what is whole, and names each thing that is broken, with its mend."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dpgen.accountants.base import Bound
from dpgen.accountants.gdp import GdpAccountant
from dpgen.accountants.pld import PldAccountant
from dpgen.cli.app import app
from dpgen.cli.doctor import installed, machine, self_tests
from dpgen.cli.doctor.examination import examine
from dpgen.cli.doctor.finding import Finding, State
from dpgen.cli.doctor_tables import findings_table
from dpgen.noise import streams
from dpgen.plugins.hookspecs import hookimpl
from dpgen.plugins.registry import Registry, default_registry


def named(found: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in found}


def test_this_machine_is_fit_and_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = named(list(examine(tmp_path / "runs" / "deep", default_registry())))
    broken = [name for name, finding in found.items() if finding.state is State.BROKEN]
    assert broken == []
    assert {"torch", "entropy", "run folder", "noise: ChaCha20", "accountant pld", "plugin builtin"} <= set(found)
    assert "accountant contour" not in found  # an approximation promises no bounds
    assert list(tmp_path.iterdir()) == []


class ConfidentPld(GdpAccountant):
    """Says half of the truth."""

    def delta(self, event, *, epsilon, relation) -> Bound:
        honest = super().delta(event, epsilon=epsilon, relation=relation)
        return Bound(0.0, honest.estimate / 2, honest.upper / 2, honest.kind)


class Wrong:
    """A plugin whose accountant is wrong, and one whose generators do not load."""

    @staticmethod
    @hookimpl
    def dpgen_register_accountants():
        return [type("Named", (ConfidentPld,), {"name": "confident"}), PldAccountant]

    @staticmethod
    @hookimpl
    def dpgen_register_generators():
        raise RuntimeError("no luck")


def test_a_wrong_accountant_and_a_broken_plugin_are_named() -> None:
    registry = Registry()
    registry.register(Wrong, name="wrong")
    found = named(list(self_tests.accountants(registry)))
    assert found["accountant confident"].state is State.BROKEN
    assert "Gaussian(1)" in found["accountant confident"].found
    assert found["accountant pld"].state is State.OK
    whole = named(list(examine(Path("runs"), registry)))
    assert "no luck" in whole["plugin wrong"].found
    assert "DPGEN_PLUGINS" in whole["plugin wrong"].mend


def test_noise_that_is_not_the_cipher_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = streams.Stream.words
    monkeypatch.setattr(streams.Stream, "words", lambda self, count: honest(self, count) ^ 1)
    chacha, philox = self_tests.noise()
    assert (chacha.state, philox.state) == (State.BROKEN, State.OK)
    assert "no run on this machine is private" in chacha.mend


def test_entropy_that_is_not_ready_or_repeats_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_ready(size: int, flags: int = 0) -> bytes:
        raise BlockingIOError(errno.EAGAIN, "not seeded")

    monkeypatch.setattr(os, "getrandom", not_ready)
    assert machine.entropy().state is State.BROKEN
    monkeypatch.setattr(os, "getrandom", lambda size, flags: bytes(size))
    assert "twice the same" in machine.entropy().found


def test_a_folder_that_cannot_be_written_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("dpgen.cli.doctor.machine.TemporaryDirectory", full)
    found = machine.writable("run folder", tmp_path / "runs")
    assert found.state is State.BROKEN
    assert "--out" in found.mend


@pytest.mark.parametrize(("free", "state"), [(3 * 2**30, State.OK), (2**30, State.NOTE), (2**20, State.BROKEN)])
def test_little_disk_is_a_note_and_none_is_broken(monkeypatch: pytest.MonkeyPatch, free: int, state: State) -> None:
    usage = shutil._ntuple_diskusage(2**40, 2**40 - free, free)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert machine.disk(Path()).state is state


def test_a_torchvision_of_another_torch_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    found = installed.torchvision()
    assert found.state is State.BROKEN
    assert "nms does not exist" in found.found


def test_missing_and_old_libraries_are_named_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = ["numpy>=999", "rich", 'pyarrow_of_nobody>=18; extra == "parquet"', 'sphinx_of_nobody; extra == "docs"']
    monkeypatch.setattr(installed.metadata, "requires", lambda _: declared)
    found = named(list(installed.libraries()))
    assert found["dependencies"].state is State.BROKEN
    assert "(needs >=999)" in found["dependencies"].found
    assert found["extra parquet"].state is State.NOTE
    assert "pip install 'dpgen[parquet]'" in found["extra parquet"].mend
    assert found["extra docs"].state is State.OK  # nobody who runs dpgen needs it


def test_exit_code_json_and_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["doctor", "--json", "--out", str(tmp_path)])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["healthy"] is True
    broken = Finding("entropy", State.BROKEN, "ready", "not " * 30 + "ready", "Wait.")
    monkeypatch.setattr("dpgen.cli.doctor.examination.examine", lambda *_: [broken])
    failed = CliRunner().invoke(app, ["doctor"])
    assert failed.exit_code == 1
    assert "Wait." in failed.stdout
    console = Console(width=80, record=True, file=StringIO())
    console.print(findings_table([broken]))
    assert max(map(len, console.export_text().splitlines())) <= 80
