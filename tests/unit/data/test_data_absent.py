from __future__ import annotations

from pathlib import Path

import pytest

from dpgen.data import Shape, open_source
from dpgen.errors import DataError, DpgenError


@pytest.mark.parametrize("name", ["train.parquet", "train.npz", "train"])
def test_declared_data_may_be_absent_until_it_is_loaded(name: str, tmp_path: Path) -> None:
    source = open_source(str(tmp_path / name), named={}, class_names=["a", "b"], may_be_absent=True)
    assert source.class_names() == ("a", "b")
    with pytest.raises(DpgenError):
        source.load(Shape(1, 8, 8))


def test_absent_data_without_declared_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        open_source(str(tmp_path / "train.parquet"), named={}, may_be_absent=True)


def test_absent_data_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        open_source(str(tmp_path / "train.parquet"), named={}, class_names=["a"])
    with pytest.raises(DataError, match=r"class folders.*train; found none\. Check the path"):
        open_source(str(tmp_path / "train"), named={}, class_names=["a"])
