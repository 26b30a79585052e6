"""Fetching published files from a server on this machine: a file with another checksum is refused."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import pytest
from typer.testing import CliRunner

from dpgen.cli.app import app
from dpgen.data.sources.named import fetching
from dpgen.data.sources.named.fetching import fetch
from dpgen.data.sources.named.published import REMOTE, Remote
from dpgen.errors import DataError, DpgenError, UnknownName

CONTENT = b"the archive, whole"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "EuroSAT.zip").write_bytes(CONTENT)
    serving = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DPGEN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "data"


def offer(monkeypatch: pytest.MonkeyPatch, url: str, content: bytes) -> None:
    checksum = f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"
    monkeypatch.setattr(fetching, "REMOTE", MappingProxyType({"eurosat": (Remote(f"{url}/EuroSAT.zip", checksum),)}))


def test_a_whole_file_is_kept_and_not_fetched_again(
    server: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("pooch")
    offer(monkeypatch, server, CONTENT)
    heard: list[str] = []
    folder = fetch("eurosat", told=heard.append)
    assert (folder / "EuroSAT.zip").read_bytes() == CONTENT
    assert heard == [f"{server}/EuroSAT.zip to {data / 'eurosat' / 'EuroSAT.zip'}"]
    (tmp_path / "served" / "EuroSAT.zip").unlink()
    done = CliRunner().invoke(app, ["data", "fetch", "eurosat", "-q", "--json"])
    assert done.exit_code == 0
    assert str(folder) in done.stdout


def test_a_file_with_another_checksum_is_refused_and_not_kept(server: str, data: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pooch")
    offer(monkeypatch, server, b"the archive, as it was published")
    with pytest.raises(DataError, match="found another file at"):
        fetch("eurosat")
    assert not list(data.rglob("*.zip"))
    assert not [path for path in data.rglob("*") if path.is_file()]


def test_a_file_that_was_damaged_here_is_fetched_again(server: str, data: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pooch")
    offer(monkeypatch, server, CONTENT)
    (data / "eurosat").mkdir(parents=True)
    (data / "eurosat" / "EuroSAT.zip").write_bytes(b"half")
    assert (fetch("eurosat") / "EuroSAT.zip").read_bytes() == CONTENT


def test_no_answer_is_told(data: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pooch")
    offer(monkeypatch, "http://127.0.0.1:1", CONTENT)
    with pytest.raises(DataError, match=r"did not arrive .*put it into"):
        fetch("eurosat")


def test_what_cannot_be_fetched_says_where_it_comes_from(data: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match=r"image-net\.org.*put the files into .*imagenet32"):
        fetch("imagenet32")
    with pytest.raises(UnknownName, match="mnist"):
        fetch("minst")
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(DpgenError, match=r"dpgen\[download\]"):
        fetch("mnist")


def test_every_checksum_is_one():
    for remotes in REMOTE.values():
        for remote in remotes:
            algorithm, _, digits = remote.checksum.partition(":")
            assert len(bytes.fromhex(digits)) == hashlib.new(algorithm).digest_size
            assert remote.url.startswith("http")


def test_sets_are_listed(data: Path):
    listed = CliRunner().invoke(app, ["data", "list"], env={"COLUMNS": "80"}).stdout
    assert "fashion_mnist" in listed
    assert max(map(len, listed.splitlines()[:-1])) <= 80
