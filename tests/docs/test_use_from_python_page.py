"""The five lines of the page run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dpgen.testing.toy import toy_images

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "use-from-python.md").read_text()
TINY = {"network": {"base": 4}, "finetune": {"steps": 2, "expected_batch": 16}, "sampler": {"steps": 2}}


def test_the_five_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = toy_images(300)
    space: dict[str, object] = {"images": images, "labels": labels, "settings": TINY}
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(snippet, space)
    assert "add_or_remove_one" in capsys.readouterr().out
    assert len(space["more"]) == 100  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release"]
