"""Canaries planted in private images are found in no output of a run, and in every form when something leaks them."""

from __future__ import annotations

import base64
import io
import traceback
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save

from dpgen.data.datasets import SyntheticDataset
from dpgen.data.writing import png_bytes, write_parquet
from dpgen.errors import DataError
from dpgen.pipeline import run
from dpgen.testing.canaries import COUNT, Canaries, plant, search_bytes, search_run
from dpgen.testing.toy_run import CLASS_NAMES, toy_config, toy_registry

BLOCKS = np.random.default_rng(5).integers(0, 256, (2, 8, 8), dtype=np.uint8)
CANARIES = Canaries(count=COUNT, texts=("wardpatient",), blocks=BLOCKS)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, images=array)
    return file.getvalue()


def png(pixels: np.ndarray) -> bytes:
    return png_bytes(torch.from_numpy(pixels)[None])


def parquet(pixels: np.ndarray) -> bytes:
    import tempfile

    images = torch.from_numpy(pixels)[None, None].float() / 255
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(SyntheticDataset(images, torch.zeros(1, dtype=torch.int64), ("a",)), Path(folder) / "x.parquet")
        return (Path(folder) / "x.parquet").read_bytes()


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.bin", data)
    return file.getvalue()


def rgb(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.stack([pixels, pixels // 2, pixels // 3], axis=-1)).save(file, "PNG")
    return file.getvalue()


SHEET = np.kron(np.pad(BLOCKS[1], 3), np.ones((5, 5), dtype=np.uint8))
LEAKS = {
    "decimal": b'{"records": 7919}',
    "grouped": b"read 7,919 images",
    "end of a sentence": b"found 7919.",
    "int64": b"xx" + np.int64(COUNT).tobytes(),
    "float64": b"xx" + np.float64(COUNT).tobytes(),
    "count in npy": npy(np.array([1, COUNT], dtype=np.int32)),
    "count in npz": npz(np.array([1.0, COUNT], dtype=np.float32)),
    "count in tensors": save({"n": np.array([COUNT], dtype=np.float32)}),
    "name": b"Traceback: /data/wardpatient-3.png",
    "name in utf-16": "wardpatient".encode("utf-16-le"),
    "name in a zip": zipped(b"wardpatient"),
    "raw pixels": b"xx" + BLOCKS[0].tobytes(),
    "pixels in npz": npz(BLOCKS),
    "pixels as floats": npz((BLOCKS / 255).astype(np.float32)),
    "png": png(BLOCKS[0]),
    "zoomed sheet": png(SHEET),
    "colour png": rgb(BLOCKS[0]),
    "png in parquet": parquet(BLOCKS[0]),
    "png in a page": b'<img src="data:image/png;base64,' + base64.b64encode(png(BLOCKS[0])) + b'">',
    "png in a zip in a zip": zipped(zipped(png(BLOCKS[1]))),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_every_form_of_a_leak_is_seen(leak: str) -> None:
    assert list(search_bytes(leak, LEAKS[leak], CANARIES))


@pytest.mark.parametrize(
    "innocent",
    [b"79190", b"1.7919", b"sha256:ab7919cd", b"17,919", b"", b"\x93NUMPY", b"PAR", png(np.zeros((8, 8), np.uint8))],
)
def test_what_is_no_canary_is_not_seen(innocent: bytes) -> None:
    assert not list(search_bytes("x", innocent, CANARIES))


def test_a_run_shows_nothing_of_its_private_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    canaries = plant(tmp_path / "ward", class_names=CLASS_NAMES)
    data = [f"data.private={tmp_path / 'ward'}", "data.records=8000", "data.size=8", "data.channels=1"]
    config = toy_config(tmp_path, [*data, f"data.classes={list(CLASS_NAMES)}".replace("'", '"')])
    run(config, registry=toy_registry())
    folder = tmp_path / "run"
    shown = capsys.readouterr()
    assert not search_run(folder, canaries, streams={"stdout": shown.out, "stderr": shown.err})
    # the twin: one line in a log of what was read, which is what people do
    (folder / "internal" / "debug.log").write_text(f"loaded {canaries.count} images, first {canaries.texts[0]}-0.png")
    assert {sighting.form for sighting in search_run(folder, canaries)} == {"count", "text"}


def test_a_run_that_fails_shows_nothing_in_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = plant(tmp_path / "ward", class_names=CLASS_NAMES, count=211)
    broken = next((tmp_path / "ward").rglob("*.png"))
    broken.write_bytes(b"\x89PNG not an image")
    data = [f"data.private={tmp_path / 'ward'}", "data.records=200", "data.size=8", "data.channels=1"]
    config = toy_config(tmp_path, [*data, f"data.classes={list(CLASS_NAMES)}".replace("'", '"')])
    with pytest.raises(DataError) as failure:
        run(config, registry=toy_registry())
    lines = "".join(traceback.format_exception(failure.value))
    seen = {sighting.form for sighting in search_run(tmp_path / "run", canaries, streams={"traceback": lines})}
    assert not seen - {"text"}  # the owner is told which file is corrupt, and nothing else
