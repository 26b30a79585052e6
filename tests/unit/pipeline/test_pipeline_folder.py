"""The run folder: what a begun run is bound to, who can read its key, and what a stop between two writes leaves."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator

import pytest

from dpgen.errors import ResumeError
from dpgen.pipeline import folder as module
from dpgen.pipeline.folder import RunFolder

KEY, SETTINGS = bytes(range(32)), {"config": {"epsilon": 1.0, "steps": 5}, "plan": []}


def content(text: bytes = b"private pixels") -> Iterator[memoryview]:
    yield memoryview(text)


def begun(tmp_path, key: bytes = KEY) -> RunFolder:
    folder = RunFolder(tmp_path / f"run-{key[0]}")
    with folder.locked():
        folder.begin(SETTINGS, content(), name="toy", key=key)
    return folder


def stored(folder: RunFolder) -> dict:
    return json.loads((folder.internal / "settings.json").read_bytes())


def test_a_stop_between_the_writes_of_the_beginning_leaves_nothing_begun(tmp_path, monkeypatch):
    """Settings without a key would be a run that can be neither begun nor resumed."""
    folder, write, calls = RunFolder(tmp_path / "run"), module.write_atomically, []

    def write_once(*arguments, **options):
        if calls:
            raise KeyboardInterrupt
        calls.append(write(*arguments, **options))

    monkeypatch.setattr(module, "write_atomically", write_once)
    with folder.locked(), pytest.raises(KeyboardInterrupt):
        folder.begin(SETTINGS, content(), name="toy", key=KEY)
    assert calls
    assert not folder.begun
    folder.check(resume=False)


def test_the_key_is_for_the_owner_alone_and_comes_back(tmp_path):
    folder = begun(tmp_path)
    assert stat.S_IMODE((folder.internal / "run.key").stat().st_mode) == 0o600
    assert folder.resume(SETTINGS, content()) == KEY


def test_other_private_data_is_refused(tmp_path):
    with pytest.raises(ResumeError, match="private data"):
        begun(tmp_path).resume(SETTINGS, content(b"private pixelz"))


@pytest.mark.parametrize(
    "changed", [{"config": {"epsilon": 2.0, "steps": 5}, "plan": []}, {"config": SETTINGS["config"], "plan": ["more"]}]
)
def test_a_single_changed_setting_is_refused(tmp_path, changed):
    with pytest.raises(ResumeError, match=r"config\.epsilon|plan"):
        begun(tmp_path).resume(changed, content())


def test_the_digest_of_the_private_data_tells_nothing_without_the_key(tmp_path):
    one, other = (begun(tmp_path, key) for key in (KEY, KEY[::-1]))
    assert stored(one)["private_data"] != stored(other)["private_data"]


def test_the_key_goes_when_the_release_is_in_place(tmp_path):
    folder = begun(tmp_path)
    folder.staging.mkdir()
    folder.complete()
    assert folder.release.is_dir()
    assert not (folder.internal / "run.key").exists()


def test_a_refused_run_leaves_a_folder_to_begin_in(tmp_path):
    folder = begun(tmp_path)
    folder.abandon()
    assert not folder.begun
    assert not (folder.internal / "run.key").exists()
