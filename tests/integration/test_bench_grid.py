"""A grid that is killed goes on where it stopped, inside a run too; a cell that fails does not stop the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dpgen.config import to_toml
from dpgen.ledger import read_ledger
from dpgen.pipeline.grid import Cell, cells, read_grid
from dpgen.pipeline.grid.outcome import result, rows, spent
from dpgen.pipeline.grid.schedule import run_cells
from dpgen.record import LEDGER, RunRecord
from dpgen.testing.toy_run import toy_config, toy_registry

GRID = """
name = "toys"
[[block]]
config = "toy.toml"
[block.axes.kind]
short = { "method.steps" = 2 }
broken = { "data.private" = "BROKEN" }
long = { "method.steps" = 3000 }
"""

SCRIPT = """
import sys
from pathlib import Path
from dpgen.pipeline.grid import cells, read_grid
from dpgen.pipeline.grid.schedule import run_cells
from dpgen.testing.toy_run import toy_registry

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    run_cells(cells(read_grid(folder / "g.toml"), base=folder, output=folder / "out"), registry_of=toy_registry)
"""


def grid_of(folder: Path) -> dict[str, Cell]:
    """The cells of the grid, by their kind."""
    (folder / "toy.toml").write_text(to_toml(toy_config(folder)))
    broken = folder / "broken.npz"
    np.savez(broken, images=np.zeros((3, 8, 8)), labels=np.array([0, 1, 9]), class_names=np.array(["a", "b", "c"]))
    (folder / "g.toml").write_text(GRID.replace("BROKEN", str(broken)))
    found = cells(read_grid(folder / "g.toml"), base=folder, output=folder / "out")
    return {cell.coordinates["kind"]: cell for cell in found}


def until(holds: Callable[[], bool], seconds: float = 400.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Cell]]:
    """A grid whose process was killed in the middle of the training of its last cell."""
    folder = tmp_path_factory.mktemp("grid")
    kinds = grid_of(folder)
    (folder / "grid.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, folder / "grid.py", folder], stdout=subprocess.DEVNULL)
    checkpoints = kinds["long"].config.run.folder / "internal" / "checkpoints"
    until(lambda: process.poll() is not None or any(checkpoints.glob("refine*")))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return folder, kinds


def test_a_killed_grid_goes_on(killed: tuple[Path, dict[str, Cell]]):
    _, kinds = killed
    short, long = (kinds[kind].config.run.folder for kind in ("short", "long"))
    assert result(kinds["short"]).state == "done"
    assert result(kinds["broken"]).state == "failed"
    assert result(kinds["long"]).state == "begun"
    until(lambda: not (long / "internal" / "lock").exists() or _is_free(long / "internal" / "lock"))
    finished, begun = (short / "release" / "run.json").read_bytes(), (long / "internal" / "settings.json").read_bytes()
    heard: list[tuple[str, str]] = []
    run_cells(
        kinds.values(), told=lambda cell, what: heard.append((cell.coordinates["kind"], what)), registry_of=toy_registry
    )
    assert heard == [("broken", "begins"), ("broken", "failed"), ("long", "goes on"), ("long", "is done")]
    assert (short / "release" / "run.json").read_bytes() == finished
    assert (long / "internal" / "settings.json").read_bytes() == begun
    assert "resumed" in (long / "internal" / "run.log").read_text()
    record = RunRecord.read(long / "release")
    assert record.charges == record.plan.charges
    assert len(read_ledger(long / "release" / LEDGER).charges) == len(record.plan.charges)
    results = [result(cell) for cell in kinds.values()]
    assert results[2].note.attempts == 2
    assert results[2].note.seconds > 0
    table = {row.coordinates["kind"]: row for row in rows(results)}
    assert table["short"].seconds == results[0].note.seconds
    assert table["long"].epsilon is not None
    assert table["long"].epsilon <= 8
    assert (table["broken"].done, table["broken"].failures[0].count("DataError")) == (0, 1)
    ((runs, epsilon, _),) = spent(results).values()
    assert runs == 2
    assert epsilon <= 16


def _is_free(lock: Path) -> bool:
    from dpgen.storage import FileLock

    held = FileLock(lock)
    taken = held.acquire()
    held.release()
    return taken
