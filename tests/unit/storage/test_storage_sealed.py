"""A sealed file is read whole or refused; a torn one gives way to the good version before it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from dpgen import storage
from dpgen.errors import StorageError
from dpgen.storage import sealed


def test_round_trip(tmp_path):
    storage.write_sealed(tmp_path / "s", b"payload", mode=0o600)
    assert storage.read_sealed(tmp_path / "s") == b"payload"
    assert storage.read(tmp_path / "s") != b"payload"


def test_empty_payload(tmp_path):
    storage.write_sealed(tmp_path / "s", b"")
    assert storage.read_sealed(tmp_path / "s") == b""


def damages(content: bytes):
    """Every truncation, every flipped byte, and something added."""
    yield from (content[:size] for size in range(len(content)))
    yield from (content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :] for i in range(len(content)))
    yield content + b"\0"


def test_every_damage_of_a_first_version_is_refused(tmp_path):
    path = tmp_path / "s"
    storage.write_sealed(path, b"payload")
    content = path.read_bytes()
    for damaged in damages(content):
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match="match its seal"):
            storage.read_sealed(path)
    path.write_bytes(content)
    assert storage.read_sealed(path) == b"payload"


def test_every_damage_of_a_later_version_gives_the_one_before(tmp_path, caplog):
    path = tmp_path / "s"
    storage.write_sealed(path, b"step 100")
    storage.write_sealed(path, b"step 200")
    for damaged in damages(path.read_bytes()):
        path.write_bytes(damaged)
        assert storage.read_sealed(path) == b"step 100"
    assert "version before it" in caplog.text


def test_torn_file_does_not_push_out_the_last_good_one(tmp_path):
    path = tmp_path / "s"
    storage.write_sealed(path, b"step 100")
    storage.write_sealed(path, b"step 200")
    path.write_bytes(b"torn")
    storage.write_sealed(path, b"step 200 again")
    assert storage.read_sealed(path) == b"step 200 again"
    path.write_bytes(b"torn")
    assert storage.read_sealed(path) == b"step 100"


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_stopping_at_any_operation_loses_nothing(tmp_path, kind):
    """`KeyboardInterrupt` stands for a killed process: nothing but `finally` runs after it."""
    path, seen = tmp_path / "s", []
    storage.write_sealed(path, b"step 100")
    with storage.failing(lambda operation, _: seen.append(operation)):
        storage.write_sealed(path, b"step 200")
    assert len(seen) == 6
    for doomed in range(len(seen)):
        storage.write_sealed(path, b"step 200")
        left = iter(range(len(seen)))

        def hook(operation: str, _: Path, left=left, doomed=doomed) -> None:
            if next(left) == doomed:
                raise kind(errno.ENOSPC, "no space left on device")

        with storage.failing(hook), pytest.raises((StorageError, KeyboardInterrupt)):
            storage.write_sealed(path, b"step 300")
        assert storage.sealed_exists(path)
        assert storage.read_sealed(path) == (b"step 300" if doomed == 5 else b"step 200")


def test_removed_means_gone(tmp_path):
    path = tmp_path / "s"
    storage.write_sealed(path, b"1")
    storage.write_sealed(path, b"2")
    storage.remove_sealed(path)
    assert not storage.sealed_exists(path)
    assert not list(tmp_path.iterdir())
    storage.remove_sealed(path)


def test_removal_that_stops_half_way_does_not_bring_back_the_older(tmp_path):
    path = tmp_path / "s"
    storage.write_sealed(path, b"1")
    storage.write_sealed(path, b"2")

    def hook(operation: str, found: Path) -> None:
        if operation == "remove" and found == path:
            raise KeyboardInterrupt

    with storage.failing(hook), pytest.raises(KeyboardInterrupt):
        storage.remove_sealed(path)
    assert storage.read_sealed(path) == b"2"


def test_a_removal_that_is_cut_short_brings_no_older_version_back(tmp_path, monkeypatch):
    path, remove, removed = tmp_path / "s", sealed.remove_durably, []
    for payload in (b"older", b"newer"):
        storage.write_sealed(path, payload)

    def remove_once(target):
        if removed:
            raise KeyboardInterrupt
        removed.append(target)
        remove(target)

    monkeypatch.setattr(sealed, "remove_durably", remove_once)
    with pytest.raises(KeyboardInterrupt):
        storage.remove_sealed(path)
    assert removed
    assert storage.read_sealed(path) == b"newer"
