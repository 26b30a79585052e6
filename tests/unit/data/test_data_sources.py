"""Folders, Parquet, archives and names: what they know unread, how they load, what they refuse."""

from __future__ import annotations

import builtins
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from dpgen.data import Shape, SyntheticDataset, open_source
from dpgen.data.sources.digits import Digits, DigitsTest, split
from dpgen.data.sources.folder import FolderSource
from dpgen.data.sources.glyphs import Glyphs
from dpgen.data.sources.npz import NpzSource
from dpgen.data.sources.parquet import ParquetSource
from dpgen.data.writing import png_bytes, write_folder, write_npz, write_parquet
from dpgen.errors import ConfigError, DataError, DpgenError, StorageError, UnknownName

NAMED = {source.name: source for source in (Digits, DigitsTest, Glyphs)}
SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def synthetic():
    random = torch.Generator().manual_seed(0)
    return lambda channels, size=(6, 5), names=("cat", "dog", "none here"): SyntheticDataset(
        torch.rand((9, channels, *size), generator=random), torch.arange(9) % 2, names
    )


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves a day at every look."""
    import time

    days = iter(range(10_000))
    monkeypatch.setattr(time, "time", lambda: 1e9 + 86_400 * next(days))


def eight_bit(dataset):
    return (dataset.images * 255).round().to(torch.uint8)


def table(columns, metadata=None):
    return pa.table(columns).replace_schema_metadata(metadata)


def png(value=0):
    return png_bytes(torch.full((1, 8, 8), value, dtype=torch.uint8))


# written files come back


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("write", [write_parquet, write_npz])
def test_files_read_back_bit_for_bit(synthetic, tmp_path, clock, write, channels):
    made = synthetic(channels)
    path = tmp_path / f"made.{write.__name__.removeprefix('write_')}"
    write(made, path)
    source = open_source(str(path), named={})
    read = source.load(Shape(channels, 6, 5))
    assert torch.equal(read.images, eight_bit(made))
    assert torch.equal(read.labels, made.labels)
    assert read.class_names == source.class_names() == made.class_names
    assert source.nominal_records() is None
    first = path.read_bytes()
    write(made, path)
    assert path.read_bytes() == first  # nothing but the images: no time, no machine


def test_folder_reads_back_class_by_class(synthetic, tmp_path):
    made = synthetic(3)
    write_folder(made, tmp_path / "made")
    assert sorted(os.listdir(tmp_path / "made")) == ["cat", "dog", "metadata.csv", "none here"]  # the empty class too
    read = open_source(str(tmp_path / "made"), named={}).load(Shape(3, 6, 5))
    order = torch.argsort(made.labels, stable=True)
    assert torch.equal(read.images, eight_bit(made)[order])
    assert torch.equal(read.labels, made.labels[order])
    (tmp_path / "file").write_bytes(b"")
    for taken in ("made", "file"):
        with pytest.raises(DataError, match="in use"):
            write_folder(made, tmp_path / taken)
    with pytest.raises(StorageError, match="expected to write"):
        write_folder(made, tmp_path / "file" / "made")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "made"]


@pytest.mark.parametrize("names", [("a", "A"), ("a/b", "c"), ("..", "c"), ("c?", "d"), ("a ", "b"), ("a\n", "b")])
def test_class_names_that_cannot_name_folders(synthetic, tmp_path, names):
    with pytest.raises(DataError, match="can name folders"):
        write_folder(synthetic(1, names=names), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_empty_set_reads_back(tmp_path):
    nothing = SyntheticDataset(torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64), ("a", "b"))
    write_parquet(nothing, tmp_path / "n.parquet")
    write_npz(nothing, tmp_path / "n.npz")
    write_folder(nothing, tmp_path / "n")
    for name in ("n.parquet", "n.npz", "n"):
        read = open_source(str(tmp_path / name), named={}).load(Shape(1, 8, 8))
        assert read.images.shape == (0, 1, 8, 8)
        assert read.class_names == ("a", "b")


# folders


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.png", "b/10.png", "a/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(int(Path(name).stem)))
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").write_bytes(b"?")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"?")
    return tmp_path


def test_folder_order_and_classes(folder):
    source = FolderSource(folder)
    assert source.class_names() == ("a", "b", "empty")
    read = source.load(Shape(1, 8, 8))
    assert read.images[:, 0, 0, 0].tolist() == [1, 10, 2]  # by name
    assert read.labels.tolist() == [0, 1, 1]
    declared = FolderSource(folder, class_names=["b", "a", "no folder", "empty"]).load(Shape(1, 8, 8))
    assert declared.labels.tolist() == [0, 0, 1]


def test_folder_refuses_what_it_cannot_place(folder):
    with pytest.raises(DataError, match=r"among the declared class_names; found 'b', 'empty'"):
        FolderSource(folder, class_names=["a"]).class_names()
    (folder / "a" / "deeper").mkdir()
    with pytest.raises(DataError, match="'deeper', which is not a file"):
        FolderSource(folder).load(Shape(1, 8, 8))
    (folder / "stray.png").write_bytes(png())
    with pytest.raises(DataError, match=r"only class folders .* found the file 'stray.png'"):
        FolderSource(folder).class_names()


def test_folder_without_classes(tmp_path):
    with pytest.raises(DataError, match="one folder per class"):
        FolderSource(tmp_path).class_names()


def test_folder_with_a_pipe_does_not_hang(folder):
    os.mkfifo(folder / "a" / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png"):
        FolderSource(folder).load(Shape(1, 8, 8))


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_folder_with_a_corrupt_file(folder, content):
    (folder / "b" / "notes.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"1 corrupt: b.notes"):
        FolderSource(folder).load(Shape(1, 8, 8))
    read = FolderSource(folder).load(Shape(1, 8, 8), on_corrupt="constant")
    assert read.images[:, 0, 0, 0].tolist() == [1, 10, 2, 128]
    assert read.labels.tolist() == [0, 1, 1, 1]


# Parquet


@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: {"bytes": b, "path": "x.png"}, lambda b: {"bytes": b}])
@pytest.mark.parametrize(("image", "label"), [("image", "label"), ("img", "labels")])
def test_parquet_layouts(tmp_path, wrap, image, label):
    features = {"info": {"features": {label: {"names": ["x", "y"], "_type": "ClassLabel"}}}}
    columns = {image: [wrap(png(7)), wrap(png(9))], label: pa.array([1, 0], pa.int8()), "other": [1, 2]}
    pq.write_table(table(columns, {"huggingface": json.dumps(features)}), tmp_path / "t.parquet")
    read = ParquetSource([tmp_path / "t.parquet"]).load(Shape(1, 8, 8))
    assert read.images[:, 0, 0, 0].tolist() == [7, 9]
    assert read.labels.tolist() == [1, 0]
    assert read.class_names == ("x", "y")
    renamed = ParquetSource([tmp_path / "t.parquet"], class_names=["p", "q", "r"])
    assert renamed.load(Shape(1, 8, 8)).class_names == ("p", "q", "r")


def test_parquet_pattern_takes_files_by_name(tmp_path):
    for i in (2, 0, 1):
        columns = {"image": [png(i)], "label": [i]}
        pq.write_table(table(columns, {"class_names": '["a", "b", "c"]'}), tmp_path / f"train-{i}.parquet")
    read = open_source(str(tmp_path / "train-*.parquet"), named={}).load(Shape(1, 8, 8))
    assert read.labels.tolist() == read.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    pq.write_table(table({"image": [png()], "label": [0]}, {"class_names": '["z"]'}), tmp_path / "train-3.parquet")
    with pytest.raises(DataError, match="same class names"):
        open_source(str(tmp_path / "train-*.parquet"), named={}).class_names()


REFUSED_TABLES = {
    "label outside": (
        {"image": [png()], "label": [2]},
        r"labels 0\.\.1, the 2 declared classes; found another one in t",
    ),
    "negative label": ({"image": [png()], "label": [-1]}, r"labels 0\.\.1"),
    "label missing": ({"image": [png(), png()], "label": [0, None]}, "label in every row"),
    "text label": ({"image": [png()], "label": ["cat"]}, "integer labels"),
    "no label column": ({"image": [png()], "fine_label": [0]}, "named label or labels"),
    "no image column": ({"picture": [png()], "label": [0]}, "named image or img"),
    "both image columns": ({"image": [png()], "img": [png()], "label": [0]}, "one column named"),
    "numbers as images": ({"image": [3], "label": [0]}, "struct{bytes, path} or binary"),
}


@pytest.mark.parametrize(("columns", "message"), REFUSED_TABLES.values(), ids=REFUSED_TABLES.keys())
@pytest.mark.parametrize("on_corrupt", ["refuse", "constant"])
def test_parquet_refuses(tmp_path, columns, message, on_corrupt):
    pq.write_table(table(columns, {"class_names": '["a", "b"]'}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=message):
        ParquetSource([tmp_path / "t.parquet"]).load(Shape(1, 8, 8), on_corrupt=on_corrupt)


def test_parquet_corrupt_rows(tmp_path):
    rows = [{"bytes": png(1)}, None, {"bytes": None}, {"bytes": b"junk"}, {"bytes": png(2)}]
    metadata = {"class_names": '["a"]'}
    pq.write_table(table({"image": rows, "label": [0] * 5}, metadata), tmp_path / "t.parquet")
    source = ParquetSource([tmp_path / "t.parquet"])
    with pytest.raises(DataError, match=r"3 corrupt: t.parquet row 1 .*row 2 .*row 3 "):
        source.load(Shape(1, 8, 8))
    read = source.load(Shape(1, 8, 8), on_corrupt="constant")
    assert read.images[:, 0, 0, 0].tolist() == [1, 128, 128, 128, 2]


@pytest.mark.parametrize("metadata", [None, {"huggingface": "{}"}, {"other": "x"}])
def test_parquet_class_names_must_come_from_somewhere(tmp_path, metadata):
    pq.write_table(table({"image": [png()], "label": [0]}, metadata), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="Declare class_names"):
        ParquetSource([tmp_path / "t.parquet"]).class_names()


@pytest.mark.parametrize(
    "metadata", [{"class_names": "no json"}, {"huggingface": "[]"}, {"huggingface": '{"info": 3}'}]
)
def test_parquet_with_odd_metadata(tmp_path, metadata):
    pq.write_table(table({"image": [png()], "label": [0]}, metadata), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="JSON class names"):
        ParquetSource([tmp_path / "t.parquet"]).class_names()


def test_class_names_read_no_record(tmp_path):
    columns = {"image": [png(i) for i in range(200)], "label": [0] * 200}
    path = tmp_path / "t.parquet"
    pq.write_table(table(columns, {"class_names": '["a"]'}), path)
    content = bytearray(path.read_bytes())
    footer = int.from_bytes(content[-8:-4], "little") + 8
    content[4:-footer] = bytes(len(content) - footer - 4)  # every record destroyed, the schema intact
    path.write_bytes(content)
    assert ParquetSource([path]).class_names() == ("a",)
    with pytest.raises(DataError, match="damaged"):
        ParquetSource([path]).load(Shape(1, 8, 8), on_corrupt="constant")


def test_not_parquet_at_all(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"CANARY" * 20)
    with pytest.raises(DataError, match=r"t\.parquet, which is not") as refusal:
        ParquetSource([tmp_path / "t.parquet"]).class_names()
    assert "CANARY" not in str(refusal.value)


def test_missing_extra_is_named(tmp_path, monkeypatch, synthetic):
    real = builtins.__import__

    def without_pyarrow(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    for use in (
        lambda: ParquetSource([tmp_path / "t.parquet"]).class_names(),
        lambda: write_parquet(synthetic(1), tmp_path / "t.parquet"),
    ):
        with pytest.raises(DpgenError, match=r'pip install "dpgen\[parquet\]"'):
            use()


# archives


@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_npz_knows_its_shape(tmp_path, channels):
    images = np.zeros((5, 6, 7) if channels is None else (5, 6, 7, channels), np.float32)
    np.savez(tmp_path / "t.npz", images=images, labels=np.zeros(5, int))
    source = NpzSource(tmp_path / "t.npz", class_names=["a"])
    assert source.native_shape() == Shape(3 if channels in (3, 4) else 1, 6, 7)
    assert len(source.load(Shape(1, 6, 7))) == 5


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": [0]}, "an array images"),
        ({"images": np.zeros((1, 8, 8), np.uint8)}, "an array labels"),
        ({"images": np.zeros((1, 8, 8), np.int64), "labels": [0]}, "uint8 or floating"),
        ({"images": np.zeros((1, 8), np.uint8), "labels": [0]}, "behind the first axis"),
        ({"images": np.zeros((1, 8, 8, 2), np.uint8), "labels": [0]}, "behind the first axis"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "labels": [0]}, "one label per image"),
        ({"images": np.zeros((1, 8, 8), np.uint8), "labels": [1]}, "labels 0..0"),
        ({"images": np.zeros((1, 8, 8), np.uint8), "labels": [0.0]}, "integer labels"),
        ({"images": np.zeros((1, 8, 8), np.uint8), "labels": np.array([None])}, "without pickled objects"),
    ],
)
def test_npz_refuses(tmp_path, arrays, message):
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(DataError, match=message):
        NpzSource(tmp_path / "t.npz", class_names=["a"]).load(Shape(1, 8, 8), on_corrupt="constant")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk", b"\x93NUMPY\x01\x00"])
def test_not_an_archive(tmp_path, content):
    (tmp_path / "t.npz").write_bytes(content)
    for ask in (NpzSource.class_names, NpzSource.native_shape):
        with pytest.raises(DataError, match="which is not"):
            ask(NpzSource(tmp_path / "t.npz"))


def test_npz_corrupt_values_and_missing_names(tmp_path):
    images = np.stack([np.full((8, 8), v) for v in (0.2, np.nan, 2.0)])
    np.savez(tmp_path / "t.npz", images=images, labels=np.zeros(3, int))
    with pytest.raises(DataError, match="Declare class_names"):
        NpzSource(tmp_path / "t.npz").class_names()
    read = NpzSource(tmp_path / "t.npz", class_names=["a"]).load(Shape(1, 8, 8), on_corrupt="constant")
    assert read.images[:, 0, 0, 0].tolist() == [51, 128, 128]


# spelling


def test_names_and_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits" / "0").mkdir(parents=True)
    assert isinstance(open_source("digits", named=NAMED), Digits)
    assert isinstance(open_source("./digits", named=NAMED), FolderSource)
    glyphs = open_source("glyphs", named=NAMED, options={"count": 12})
    assert glyphs.nominal_records() == 12


@pytest.mark.parametrize(
    ("spelling", "options", "class_names", "error", "message"),
    [
        ("digit", {}, None, UnknownName, r"Did you mean 'digits'.*Or a path to a folder, \.parquet or \.npz"),
        ("gone.parquet", {}, None, DataError, r"a file at .*gone\.parquet; found none"),
        ("gone-*.parquet", {}, None, DataError, "found none"),
        ("gone.npz", {}, None, DataError, "found none"),
        ("glyphs", {"cout": 3}, None, ConfigError, "Did you mean 'count'"),
        ("digits", {"count": 3}, None, ConfigError, "the options none"),
        ("gone.npz", {"count": 3}, None, ConfigError, "a path has no options"),
        ("digits", {}, ["zero"], ConfigError, "has its own class names"),
    ],
)
def test_wrong_spellings(tmp_path, monkeypatch, spelling, options, class_names, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        open_source(spelling, named=NAMED, options=options, class_names=class_names)


@pytest.mark.parametrize("class_names", [[], ["a", "a"], ["a", ""], "ab", [1, 2]])
def test_wrong_class_names(tmp_path, class_names):
    with pytest.raises(ConfigError, match="class_names"):
        FolderSource(tmp_path, class_names=class_names)


# embedded digits and real packs

FIRST_TRAIN, FIRST_TEST = [1383, 166, 940], [1685, 1247, 1616]


def test_digits_split_is_fixed_and_whole():
    train, test = split()
    assert sorted([*train, *test]) == list(range(1797))
    assert (train[:3].tolist(), test[:3].tolist()) == (FIRST_TRAIN, FIRST_TEST)
    for source, records in ((Digits(), 1437), (DigitsTest(), 360)):
        read = source.load(Shape(1, 8, 8))
        assert len(read) == source.nominal_records() == records
        assert torch.equal(read.labels.unique(), torch.arange(10))
        assert read.images.max() == 255
        assert source.native_shape() == Shape(1, 8, 8)
    assert Digits().load(Shape(3, 28, 28)).images.shape == (1437, 3, 28, 28)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data packs are not beside this checkout")
def test_real_mnist(tmp_path):
    whole = pq.ParquetFile(SHARED / "mnist-test.parquet")
    prefix = pa.Table.from_batches([next(whole.iter_batches(batch_size=500))], schema=whole.schema_arrow)
    pq.write_table(prefix, tmp_path / "prefix.parquet")
    source = open_source(str(tmp_path / "prefix.parquet"), named={})
    assert source.class_names() == tuple("0123456789")
    read = source.load(Shape(1, 28, 28))
    assert len(read) == 500
    assert 0.12 < read.images.float().mean() / 255 < 0.145  # MNIST: .13, ink white
    assert read.labels[:5].tolist() == [7, 2, 1, 0, 4]
