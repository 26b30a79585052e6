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
