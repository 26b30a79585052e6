"""Files crafted to attack one reader: each tells what it tries. Nothing in them was drawn at random."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dpgen.testing.fuzz.mutators import HOSTILE_VALUES, rechained
from dpgen.testing.fuzz.seeds import saved, toy_pixels
from dpgen.testing.fuzz.targets import TARGETS, Case

Array = NDArray[Any]

SIDE = 4096  # the largest square that is decoded at all
_PICKLE = b"cos\nsystem\n(S'true'\ntR."
"""Runs the command `true` when it is loaded."""


def artefacts() -> Iterator[Case]:
    """Every crafted file, about 250, for all targets."""
    for target, made in (("images", _images()), ("tables", _tables()), ("checkpoints", _checkpoints())):
        for origin, name, content in made:
            yield Case(target, name, content, origin)
    for target in ("configs", "ledger", "owner", "events", "records", "models"):
        yield from _texts(target)


def _images() -> Iterator[tuple[str, str, bytes]]:
    for side in (2**16, 2**20, 2**31 - 1):
        yield f"PNG header of {side} pixels a side", "bomb.png", _png(side, side, b"")
    yield "PNG of no height", "flat.png", _png(8, 0, b"")
    yield "PNG whose pixels inflate beyond its size", "inflated.png", _png(8, 8, zlib.compress(bytes(2**26)))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield (
            f"the largest PNG of mode {mode}, all one colour",
            "large.png",
            saved(Image.new(mode, (SIDE, SIDE)), "png"),
        )
        yield f"one pixel more than the largest, {mode}", "more.png", saved(Image.new(mode, (SIDE + 1, SIDE)), "png")
    for suffix, mode in (("webp", "RGBA"), ("gif", "P"), ("bmp", "RGB"), ("jpg", "CMYK"), ("tiff", "RGBA")):
        options = {"lossless": True} if suffix == "webp" else {}
        yield "the largest of its format", f"large.{suffix}", saved(Image.new(mode, (SIDE, SIDE)), suffix, **options)
    yield "one row of as many pixels as allowed", "row.png", saved(Image.new("L", (SIDE * SIDE, 1)), "png")
    yield "one column", "column.png", saved(Image.new("L", (1, SIDE * SIDE)), "png")
    yield "a progressive JPEG of thousands of scans", "scans.jpg", _many_scans()
    for text in (b"zTXt", b"iTXt", b"iCCP"):
        yield f"a {text.decode()} block that inflates to 64 MiB", "text.png", _png_with_block(text)
    for orientation in (0, 9, 255, 65535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"EXIF orientation {orientation}", "turned.jpg", saved(toy_pixels(), "jpg", exif=exif)
    for content in (b"", b"\x00" * 100, _PICKLE, b"%PDF-1.7", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"P6 9 9 255\n"):
        yield f"another file, {content[:8]!r}", "renamed.png", content


def _tables() -> Iterator[tuple[str, str, bytes]]:
    images, labels = np.zeros((2, 8, 8), np.uint8), np.zeros(2, np.int64)
    names = np.array(["a"])
    good: dict[str, Array] = {"images": images, "labels": labels, "class_names": names}
    for key in good:
        for label, array in (
            ("objects", np.array([None, {}], object)),
            ("complex", np.zeros(2, complex)),
            ("a record type", np.zeros(2, [("x", int)])),
            ("dates", np.zeros(2, "M8[s]")),
            ("no axis", np.array(7)),
            ("NaN", np.full((2, 8, 8), np.nan)),
            ("infinity", np.full((2, 8, 8), np.inf)),
            ("nothing", np.zeros((0, 8, 8), np.uint8)),
            ("text", np.array(["x", "../../outside"])),
        ):
            yield f"{key} as {label}", "odd.npz", _npz({k: _npy(v) for k, v in (good | {key: array}).items()})
        for shape in ((10**12, 8, 8), (-1, 8, 8), (2**62, 2**62, 8), (2,) * 64):
            claimed = {k: _npy(v) for k, v in good.items()} | {key: _npy_header("|u1", shape)}
            yield f"{key} claims {shape}", "claim.npz", _npz(claimed)
        for kind in ("|O", "<U999999999", "V99999999999", "no type", "(" * 5000):
            typed = {k: _npy(v) for k, v in good.items()} | {key: _npy_header(kind, (2, 8, 8)) + bytes(128)}
            yield f"{key} of type {kind[:12]}", "typed.npz", _npz(typed)
        yield f"a pickle as {key}", "pickle.npz", _npz({k: _npy(v) for k, v in good.items()} | {key: _PICKLE})
    for member in ("../images", "/etc/images", "images", "a/../../images", "C:\\images", "images\x00"):
        arrays = {k: _npy(v) for k, v in good.items() if k != "images"}
        yield f"a member {member!r}", "path.npz", _npz(arrays | {member: _npy(images)})
    many = np.zeros((2**28, 1, 1), np.uint8)
    yield "one black pixel, 2**28 times", "rows.npz", _npz({"images": _npy(many), "labels": _npy(many.reshape(-1))})
    large = np.zeros((1, 2**15, 2**14), np.uint8)
    yield (
        "one image of half a GiB",
        "large.npz",
        _npz({k: _npy(v) for k, v in (good | {"images": large}).items()}),
    )
    yield "bzip2, which inflates without bounds", "b.npz", _npz({"images": _npy(large)}, zipfile.ZIP_BZIP2)
    yield "20,000 members", "members.npz", _npz({f"m{i}": b"" for i in range(20_000)})
    yield "a bare array", "bare.npz", _npy(images)
    yield "a pickle", "pickle.npz", _PICKLE
    yield from _parquet()


def _parquet() -> Iterator[tuple[str, str, bytes]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def file(columns: dict[str, object], names: str | bytes = '["a"]') -> bytes:
        out = BytesIO()
        pq.write_table(pa.table(columns).replace_schema_metadata({"class_names": names}), out, compression="zstd")
        return out.getvalue()

    pixels = saved(toy_pixels(), "png")
    label = pa.array([0])
    big = pixels + bytes(2**23)
    yield "8 MiB, repeated 1,000 times by a dictionary", "d.parquet", file({"image": [big] * 1000, "label": [0] * 1000})
    yield "256 MiB of zeros in one value", "z.parquet", file({"image": pa.array([bytes(2**28)]), "label": label})
    rows = 5_000_000
    yield (
        "five million rows of nothing",
        "r.parquet",
        file({"image": pa.nulls(rows, pa.binary()), "label": pa.array(np.zeros(rows, int))}),
    )
    for kind, image in (
        ("numbers", [1]),
        ("lists", [[1]]),
        ("text", ["x"]),
        ("nothing", pa.nulls(1)),
        ("a struct", [{"bytes": 3}]),
    ):
        yield f"images as {kind}", "t.parquet", file({"image": image, "label": label})
    for kind, value in (
        ("NaN", [float("nan")]),
        ("text", ["x"]),
        ("null", pa.nulls(1, pa.int64())),
        ("huge", pa.array([2**64 - 1], pa.uint64())),
        ("lists", [[0]]),
    ):
        yield f"labels as {kind}", "l.parquet", file({"image": [pixels], "label": value})
    for names in (
        "[",
        "[" * 5000,
        "{}",
        '["a", "a"]',
        "[1]",
        '["\\u0000"]',
        json.dumps(["x" * 10**6]),
        json.dumps([str(i) for i in range(10**5)]),
        '"a"',
        "NaN",
        "\ud800".encode("utf-8", "surrogatepass"),
    ):
        yield f"class names {names[:12]!r}", "n.parquet", file({"image": [pixels], "label": label}, names)
    whole = file({"image": [pixels], "label": label})
    for length in (0, 1, 2**31 - 1, 2**32 - 1):
        yield f"a footer of {length} bytes", "f.parquet", whole[:-8] + struct.pack("<I", length) + b"PAR1"


def _checkpoints() -> Iterator[tuple[str, str, bytes]]:
    for length in (0, 1, 7, 100, 2**20, 2**31, 2**63, 2**64 - 1):
        yield f"a header of {length} bytes", "t.payload", struct.pack("<Q", length) + b'{"a":1}'
    for dtype in ("F32", "I64", "BOOL", "F8_E4M3", "X9", ""):
        for shape, offsets in (
            ([2], [0, 8]),
            ([2**40], [0, 2**42]),
            ([-1], [0, 8]),
            ([2**62, 4], [0, 0]),
            ([2], [8, 0]),
        ):
            tensor = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
            yield f"{dtype} {shape} at {offsets}", "t.payload", _safetensors({"a": tensor}, bytes(8))
    for facts in ("", "[]", "1", "NaN", "{", "[" * 5000, '{"step": NaN}', '{"a": 1, "a": 2}', "9" * 5000):
        yield f"facts {facts[:10]!r}", "t.payload", _safetensors({"__metadata__": {"facts": facts}})
    metadata: object
    for metadata in ({}, {"facts": 1}, [], None):
        yield f"metadata {metadata!r}", "t.payload", _safetensors({"__metadata__": metadata})
    yield "a pickle", "t.payload", _PICKLE
    yield "a torch archive", "t.payload", _npz({"archive/data.pkl": _PICKLE})


def _texts(target: str) -> Iterator[Case]:
    """Deep, huge, doubled, of another type: in the place of each file and, where it is JSON, of each value in it."""
    for name, valid in TARGETS[target].files().items():
        beside = TARGETS[target].beside()
        deep = (
            b"[" * 100_000,
            b'{"event":' * 50_000,
            b"[" * 60 + b"]" * 60,
            b"x = " + b"[" * 5000,
            b"[a]\n" + b"a." * 5000,
        )
        other = (
            b"",
            b"\n",
            b"\x00",
            b"\xff\xfe",
            b"null",
            b"NaN",
            b"1e999",
            b"9" * 5000,
            b'"\\ud800"',
            _PICKLE,
            b"{}",
            b"[]\n",
        )
        for content in (*deep, *other, valid + valid, valid[::-1]):
            yield Case(target, name, content, f"{name} replaced by {content[:12]!r}", beside)
        if name.endswith(".json"):
            data = json.loads(valid)
            for key in data:
                for value in HOSTILE_VALUES[:8]:
                    changed = json.dumps(data | {key: value}).encode()
                    yield Case(target, name, changed, f"{key} = {value!r}"[:60], beside)
        if name.endswith(".jsonl"):
            first, *rest = [json.loads(line) for line in valid.splitlines()]
            for key in first:
                for value in HOSTILE_VALUES[:8]:
                    yield Case(
                        target, name, rechained([first | {key: value}, *rest]), f"{key} = {value!r}"[:60], beside
                    )


def _png(width: int, height: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_block, (b"IHDR", b"IDAT", b"IEND"), (header, pixels, b"")))


def _block(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png_with_block(kind: bytes) -> bytes:
    bomb = zlib.compress(bytes(2**26))
    content = b"key\x00" + (b"\x01\x00\x00\x00" if kind == b"iTXt" else b"\x00") + bomb
    whole = saved(toy_pixels(), "png")
    return whole[:33] + _block(kind, content) + whole[33:]


def _many_scans() -> bytes:
    """The scans of a progressive JPEG over and over: cheap to write, and decoded one by one."""
    whole = saved(Image.new("L", (SIDE, SIDE)), "jpg", progressive=True)
    start = whole.rindex(b"\xff\xda")
    return whole[:start] + whole[start:-2] * 3000 + whole[-2:]


def _npy(array: Array) -> bytes:
    file = BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def _npy_header(kind: str, shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def _npz(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def _safetensors(header: dict[str, object], content: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content
