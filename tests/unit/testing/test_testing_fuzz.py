"""The fuzz command: a fixed sample of it in every run, and proof that it sees each kind of fault."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from dpgen.errors import DataError
from dpgen.testing.fuzz import TARGETS, Campaign, Case, run_cases
from dpgen.testing.fuzz.__main__ import main
from dpgen.testing.fuzz.confined import _Watch
from dpgen.testing.fuzz.mutators import rechained

LIGHT = ("images", "tables", "checkpoints", "events")


def test_a_fixed_sample_of_damaged_files_is_handled() -> None:
    tallies = run_cases((TARGETS[name].case(7, number) for name in LIGHT for number in range(40)), LIGHT)
    assert [failure.fault for tally in tallies.values() for failure in tally.failures] == []
    assert {name: tally.cases for name, tally in tallies.items()} == dict.fromkeys(LIGHT, 40)
    assert all(tally.refused > 0 for tally in tallies.values())


def test_the_same_seed_gives_the_same_file() -> None:
    assert TARGETS["images"].case(3, 5) == TARGETS["images"].case(3, 5)
    assert len({TARGETS["images"].case(3, number).content for number in range(20)}) == 20


class _Runs:
    def __reduce__(self):
        return os.system, ("true",)


def test_code_that_runs_and_files_outside_are_seen(tmp_path: Path) -> None:
    import sys

    watch = _Watch(tmp_path / "box")
    sys.addaudithook(watch)  # for good: a hook cannot be taken away, only silenced
    with watch.watching():
        pickle.loads(pickle.dumps(_Runs()))
    assert watch.seen.startswith("pickle.find_class")
    with watch.watching():
        (tmp_path / "outside").write_bytes(b"")
    assert "outside" in watch.seen
    with watch.watching():
        (tmp_path / "box").mkdir()
        (tmp_path / "box" / "inside").write_bytes(b"")
        (tmp_path / "outside").read_bytes()
    assert watch.seen == ""


def test_an_untyped_error_and_a_dead_process_are_failures() -> None:
    case = Case("models", "weights.safetensors", b"", "no such folder", {"/proc/outside": b""})  # writing it fails
    with Campaign(["events"]) as campaign:
        assert campaign.open(case).fault.startswith("the process ended")
        good = TARGETS["events"].valid()[0]
        assert campaign.open(good).fault == ""  # a new child took over


def test_a_failure_is_kept_with_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "abc-0.json"
    path.write_bytes(TARGETS["events"].valid()[0].content)
    assert main(["--replay", str(path), "--target", "events", "--out", str(tmp_path / "out")]) == 0
    assert "events" in capsys.readouterr().out


def test_rechained_lines_pass_the_check_of_the_chain(tmp_path: Path) -> None:
    from dpgen.ledger.chain import decode

    entries, _ = decode(rechained([{"type": "x"}, {"type": "y"}]), tmp_path)
    assert entries == [{"type": "x"}, {"type": "y"}]


@pytest.mark.slow
def test_ten_thousand_images_and_all_crafted_files(tmp_path: Path) -> None:
    assert main(["--artefacts", "--count", "0", "--out", str(tmp_path)]) == 0
    assert main(["--target", "images", "--count", "10000", "--out", str(tmp_path)]) == 0


def test_refusals_are_typed() -> None:
    with pytest.raises(DataError):
        TARGETS["images"].use(Path(__file__))
