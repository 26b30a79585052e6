"""Private images are never taken for public ones: what is learnt from those is charged nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpgen.config import DataConfig
from dpgen.errors import ConfigError
from dpgen.pipeline import planning
from dpgen.plugins.registry import default_registry

NAMED = {name: default_registry().dataset(name) for name in ("digits", "glyphs")}


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("own/0", "own/1", "open/0", "open/1", "owner/0"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "shards").mkdir()
    for shard in (0, 1):
        (tmp_path / "shards" / f"train-{shard}.parquet").touch()
    (tmp_path / "link").symlink_to(tmp_path / "own")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("key", "private", "public"),
    [
        ("private", "own", "own"),
        ("private", "own", "./open/../own[:100]"),
        ("private", "own", "link"),
        ("private", "own/0", "own"),
        ("private", "digits", "digits"),
        ("private", "digits[:500]", "digits[:600]"),
        ("private", "own", "own[:9][:5]"),
        ("private", "digits[:9][:5]", "digits"),
        ("private", "shards/train-*.parquet", "shards/train-1.parquet"),
        ("private", "shards/train-1.parquet", "shards/t*.parquet"),
        ("test", "own", "own"),
        ("validation", "own", "own"),
    ],
)
def test_the_same_images_are_refused(key: str, private: str, public: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataConfig(**{"private": "elsewhere", key: private}, public=public)
    with pytest.raises(ConfigError, match=f"found those of data.{key}"):
        planning.public_source(data, NAMED)
    monkeypatch.setattr(planning, "_is_same_place", lambda *two: False)  # broken twin: whatever is called public is
    assert planning.public_source(data, NAMED) is not None


def test_other_images_are_taken() -> None:
    for private, public in (("own", "open"), ("owner", "own"), ("digits", "glyphs"), ("own", "glyphs")):
        assert planning.public_source(DataConfig(private=private, public=public), NAMED) is not None
    assert planning.public_source(DataConfig(private="own"), NAMED) is None
