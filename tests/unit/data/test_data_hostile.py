"""Files that claim too much, lead elsewhere, or hold code: refused before they cost memory or time."""

from __future__ import annotations

import os
import pickle
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dpgen.data import Shape
from dpgen.data.decoding import MAX_BYTES, MAX_PIXELS, MAX_SCANNED_PIXELS, decode, decode_all
from dpgen.data.sources.folder import FolderSource
from dpgen.data.sources.npz import NpzSource
from dpgen.data.sources.parquet import ParquetSource
from dpgen.data.sources.sizes import FREE_BYTES, FREE_RECORDS, check_claims
from dpgen.errors import ConfigError, DataError, StorageError

GREY = Shape(1, 8, 8)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    image.save(file := BytesIO(), kind, **options)
    return file.getvalue()


def npz(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> NpzSource:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return NpzSource(path, class_names=["a"])


def npy(array: np.ndarray) -> bytes:
    np.lib.format.write_array(file := BytesIO(), array)
    return file.getvalue()


ONE = {"images.npy": npy(np.zeros((1, 8, 8), np.uint8)), "labels.npy": npy(np.zeros(1, int))}


def test_one_pixel_more_than_allowed_is_refused_by_its_header() -> None:
    side = int(MAX_PIXELS**0.5)
    with pytest.raises(DataError, match="pixels"):
        decode(saved(Image.new("1", (side + 1, side))), GREY)
    assert decode(saved(Image.new("1", (side, side))), GREY).shape == (1, 8, 8)


def test_a_jpeg_of_many_scans_is_refused() -> None:
    whole = saved(Image.new("L", (1024, 1024)), "JPEG", progressive=True)
    start = whole.rindex(b"\xff\xda")
    scans = MAX_SCANNED_PIXELS // 1024**2
    assert decode(whole, GREY).shape == (1, 8, 8)
    with pytest.raises(DataError, match="over all scans"):
        decode(whole[:start] + whole[start:-2] * scans + whole[-2:], GREY)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with open(tmp_path / "sparse.png", "wb") as file:
        file.write(saved(Image.new("L", (8, 8))))
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DataError, match="bytes"):
        decode(tmp_path / "sparse.png", GREY)


def test_too_little_memory_is_never_replaced_by_a_constant_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", exhausted)
    with pytest.raises(StorageError, match="memory"):
        decode_all([("a", b"x")], count=1, shape=GREY, on_corrupt="constant")


def test_more_or_fewer_images_than_labels_are_refused() -> None:
    image = saved(Image.new("L", (8, 8)))
    for count in (1, 3):
        with pytest.raises(DataError, match="as many images as labels"):
            decode_all([("a", image), ("b", image)], count=count, shape=GREY)


def test_a_link_out_of_the_folder_is_refused_and_one_within_it_followed(tmp_path: Path) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "1.png").write_bytes(saved(Image.new("L", (8, 8), 9)))
    (tmp_path / "data" / "a" / "2.png").symlink_to(tmp_path / "data" / "a" / "1.png")
    source = FolderSource(tmp_path / "data")
    assert source.load(GREY).images[:, 0, 0, 0].tolist() == [9, 9]
    (tmp_path / "secret.png").write_bytes(saved(Image.new("L", (8, 8))))
    (tmp_path / "data" / "a" / "3.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match=r"found a.3\.png, a link to another place"):
        source.load(GREY, on_corrupt="constant")
    (tmp_path / "data" / "a" / "3.png").unlink()
    (tmp_path / "data" / "b").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(DataError, match="found b, a link"):
        source.class_names()


def test_a_link_in_a_circle_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").symlink_to(tmp_path / "a" / "x.png")
    with pytest.raises(DataError, match="not a file"):
        FolderSource(tmp_path).load(GREY)


@pytest.mark.parametrize("name", [b"\x1b[2J", b"\xff\xfe", b"a\nb"])
def test_folder_names_that_cannot_be_shown_are_no_classes(tmp_path: Path, name: bytes) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/" + name)
    with pytest.raises(ConfigError, match="printable") as refusal:
        FolderSource(tmp_path).class_names()
    assert str(refusal.value).isascii()


class _Pickle:
    def __reduce__(self):
        return open, ("outside", "w")


@pytest.mark.parametrize("member", ["images.npy", "labels.npy"])
def test_a_pickle_in_an_archive_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str) -> None:
    monkeypatch.chdir(tmp_path)
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    planted = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pickle.dumps(_Pickle())
    for content in (planted, pickle.dumps(_Pickle())):
        with pytest.raises(DataError):
            npz(tmp_path / "t.npz", ONE | {member: content}).load(GREY)
    assert [path.name for path in tmp_path.iterdir()] == ["t.npz"]


def test_members_elsewhere_are_ignored_and_nothing_is_extracted(tmp_path: Path) -> None:
    source = npz(tmp_path / "t.npz", ONE | {"../outside.npy": b"x", "/absolute.npy": b"x"})
    assert len(source.load(GREY)) == 1
    assert not (tmp_path.parent / "outside.npy").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["t.npz"]


@pytest.mark.parametrize("shape", [(10**12, 8, 8), (2, 8, 8), (-1, 8, 8)])
def test_a_header_that_does_not_fit_its_array_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    lie = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
    with pytest.raises(DataError, match="which is not"):
        npz(tmp_path / "t.npz", ONE | {"images.npy": lie}).load(GREY)


def test_other_compressions_and_thousands_of_members_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which is not"):
        npz(tmp_path / "b.npz", ONE, zipfile.ZIP_BZIP2).load(GREY)
    with pytest.raises(DataError, match="which is not"):
        npz(tmp_path / "m.npz", ONE | {f"{i}.npy": b"" for i in range(2000)}).load(GREY)


def test_claims_far_beyond_the_size_of_the_file() -> None:
    check_claims(records=FREE_RECORDS, in_memory=FREE_BYTES, on_disk=1, where="t")
    check_claims(records=10**6, in_memory=10**9, on_disk=10**6, where="t")
    for records, in_memory in ((FREE_RECORDS + 1, 0), (0, FREE_BYTES + 1)):
        with pytest.raises(DataError, match="bomb") as refusal:
            check_claims(records=records, in_memory=in_memory, on_disk=1, where="t")
        assert str(records) not in str(refusal.value)


def test_many_rows_of_nothing_in_parquet_are_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = pa.table({"image": pa.nulls(10**6, pa.binary()), "label": np.zeros(10**6, int)})
    pq.write_table(rows, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="bomb"):
        ParquetSource([tmp_path / "t.parquet"], class_names=["a"]).load(GREY, on_corrupt="constant")


@pytest.mark.parametrize("names", [["a\nb"], ["x" * 201], ["\x1b"], [str(i) for i in range(2**16 + 1)]])
def test_class_names_that_cannot_be_printed(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(ConfigError, match="class_names must be a list"):
        NpzSource(tmp_path / "t.npz", class_names=names)
