"""Whatever fails, a file holds all of its old content or all of its new one, and says what to do."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from dpgen import storage
from dpgen.errors import StorageError


def fail_at(operation: str, code: int = errno.ENOSPC):
    def hook(found: str, path: Path) -> None:
        if found == operation:
            raise OSError(code, os.strerror(code))

    return storage.failing(hook)


def test_content_and_parents_are_there(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    storage.write_atomically(path, b"first")
    storage.write_atomically(path, b"second")
    assert storage.read(path) == b"second"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_mode_is_that_of_a_key(tmp_path, mode):
    storage.write_atomically(tmp_path / "key", b"secret", mode=mode)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == mode


@pytest.mark.parametrize("operation", ["write", "fsync", "replace"])
def test_full_disk_keeps_the_old_content(tmp_path, operation):
    path = tmp_path / "file"
    storage.write_atomically(path, b"old")
    with fail_at(operation), pytest.raises(StorageError, match=r"No space left.*Free some space"):
        storage.write_atomically(path, b"new")
    assert storage.read(path) == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_every_failure_leaves_old_or_new(tmp_path):
    """Fail at the k-th operation for every k: also the directory fsync after the replacement, where new is right."""
    path, seen = tmp_path / "file", []
    with storage.failing(lambda operation, _: seen.append(operation)):
        storage.write_atomically(path, b"old")
    assert seen == ["write", "fsync", "replace", "fsync"]
    for doomed in range(len(seen)):
        storage.write_atomically(path, b"old")
        left = iter(range(len(seen)))

        def hook(operation: str, _: Path, left=left, doomed=doomed) -> None:
            if next(left) == doomed:
                raise OSError(errno.EIO, "input/output error")

        with storage.failing(hook), pytest.raises(StorageError):
            storage.write_atomically(path, b"new")
        assert storage.read(path) == (b"new" if doomed == 3 else b"old")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="may write to"):
        storage.write_atomically(tmp_path / "file", b"x")


@pytest.mark.parametrize(
    ("code", "mend"), [(errno.EACCES, "may write to"), (errno.EROFS, "not read-only"), (errno.EDQUOT, "quota")]
)
def test_mend_fits_the_failure(tmp_path, code, mend):
    with fail_at("write", code), pytest.raises(StorageError, match=mend):
        storage.write_atomically(tmp_path / "file", b"x")


def test_folder_in_the_way(tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(StorageError, match="Check the path"):
        storage.write_atomically(tmp_path / "taken" / "file", b"x")


def test_file_systems_that_cannot_sync_a_folder_are_tolerated(tmp_path):
    def hook(operation: str, path: Path) -> None:
        if operation == "fsync" and path == tmp_path:
            raise OSError(errno.EINVAL, "invalid argument")

    with storage.failing(hook):
        storage.write_atomically(tmp_path / "file", b"x")
    assert storage.read(tmp_path / "file") == b"x"


def test_append_adds_lines(tmp_path):
    path = tmp_path / "new" / "lines"
    storage.append_durably(path, b"one")
    storage.append_durably(path, b"two")
    assert storage.read(path) == b"one\ntwo\n"
    with pytest.raises(StorageError, match="line break"):
        storage.append_durably(path, b"three\nfour")


@pytest.mark.parametrize("operation", ["write", "fsync"])
def test_failed_append_leaves_nothing(tmp_path, operation):
    path = tmp_path / "lines"
    storage.append_durably(path, b"one")
    with fail_at(operation), pytest.raises(StorageError, match="append"):
        storage.append_durably(path, b"two")
    assert storage.read(path) == b"one\n"


def test_append_is_synced_before_it_returns(tmp_path):
    seen = []
    with storage.failing(lambda operation, path: seen.append((operation, path))):
        storage.append_durably(tmp_path / "lines", b"one")
    assert seen == [("write", tmp_path / "lines"), ("fsync", tmp_path / "lines"), ("fsync", tmp_path)]


def test_every_change_is_synced_before_it_returns(tmp_path):
    """Each operation with what it leaves to be made durable: the content of a file, or the names in a folder."""
    seen: list[tuple[str, Path]] = []

    def steps(change) -> list[tuple[str, Path]]:
        seen.clear()
        with storage.failing(lambda operation, path: seen.append((operation, path))):
            change()
        return list(seen)

    file, other, deep = tmp_path / "file", tmp_path / "other", tmp_path / "a" / "b" / "c"
    file.write_bytes(b"12345")
    assert steps(lambda: storage.truncate_durably(file, 2)) == [("truncate", file), ("fsync", file)]
    assert steps(lambda: storage.rename_durably(file, other)) == [("replace", other), ("fsync", tmp_path)]
    assert steps(lambda: storage.remove_durably(other)) == [("remove", other), ("fsync", tmp_path)]
    written = [("write", deep), ("fsync", deep), ("replace", deep), ("fsync", tmp_path / "a" / "b")]
    named = [("fsync", tmp_path), ("fsync", tmp_path / "a")]  # of each new folder its name, in the one above
    assert steps(lambda: storage.write_atomically(deep, b"x")) == [*named, *written]


def test_a_flushed_folder_is_synced_with_all_that_lies_in_it(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "deep").write_bytes(b"x")
    (tmp_path / "top").write_bytes(b"y")
    seen = []
    with storage.failing(lambda operation, path: seen.append((operation, path))):
        storage.flush_durably(tmp_path)
    assert sorted(seen) == sorted(("fsync", path) for path in (tmp_path, *tmp_path.rglob("*")))


def test_what_is_said_to_be_synced_is(tmp_path, monkeypatch):
    """By the identity of what the operating system was asked to sync."""
    synced, sync = [], os.fsync

    def recorded(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    storage.append_durably(tmp_path / "lines", b"one")
    storage.write_atomically(tmp_path / "file", b"x")
    assert synced == [path.stat().st_ino for path in (tmp_path / "lines", tmp_path, tmp_path / "file", tmp_path)]
    synced.clear()
    storage.remove_durably(tmp_path / "file")
    assert synced == [tmp_path.stat().st_ino]


def test_truncate_rename_remove(tmp_path):
    storage.write_atomically(tmp_path / "a", b"12345")
    storage.truncate_durably(tmp_path / "a", 2)
    storage.rename_durably(tmp_path / "a", tmp_path / "b")
    assert storage.read(tmp_path / "b") == b"12"
    storage.remove_durably(tmp_path / "b")
    storage.remove_durably(tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_digest_of_bytes_and_file_agree(tmp_path):
    storage.write_atomically(tmp_path / "file", b"content")
    assert storage.digest(tmp_path / "file") == storage.digest(b"content") == hashlib.sha256(b"content").hexdigest()
    with pytest.raises(StorageError, match="expected to read"):
        storage.digest(tmp_path / "missing")


def test_hook_is_gone_after_the_block(tmp_path):
    with pytest.raises(RuntimeError), fail_at("write"):
        raise RuntimeError
    storage.write_atomically(tmp_path / "file", b"x")
