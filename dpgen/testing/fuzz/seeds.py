"""Valid files to start from, all written by dpgen itself or by the codecs that it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image

from dpgen.config import to_toml
from dpgen.data.datasets import SyntheticDataset
from dpgen.data.writing import write_npz, write_parquet
from dpgen.events import Composed, Gaussian, Laplace, PoissonSampled, SelfComposed
from dpgen.pipeline import run
from dpgen.testing.toy import toy_images
from dpgen.testing.toy_run import CLASS_NAMES, toy_config, toy_registry

Files = dict[str, bytes]

_SAVED: dict[str, tuple[str, dict[str, object]]] = {
    "grey.png": ("L", {}),
    "rgb.png": ("RGB", {}),
    "alpha.png": ("RGBA", {}),
    "sixteen.png": ("I;16", {}),
    "palette.png": ("P", {"transparency": 0}),
    "bilevel.png": ("1", {}),
    "plain.jpg": ("RGB", {}),
    "progressive.jpg": ("RGB", {"progressive": True}),
    "cmyk.jpg": ("CMYK", {}),
    "lossy.webp": ("RGB", {}),
    "lossless.webp": ("RGBA", {"lossless": True}),
    "plain.gif": ("P", {}),
    "plain.bmp": ("RGB", {}),
    "palette.bmp": ("P", {}),
    "raw.tiff": ("RGB", {}),
    "lzw.tiff": ("RGB", {"compression": "tiff_lzw"}),
    "deflate.tiff": ("L", {"compression": "tiff_adobe_deflate"}),
    "jpeg.tiff": ("RGB", {"compression": "jpeg"}),
    "group4.tiff": ("1", {"compression": "group4"}),
}


def image_files() -> Files:
    """One small image of each format, mode and compression, some with an EXIF block, some animated."""
    return dict(_images())


def table_files() -> Files:
    """A Parquet file and an `.npz` file, as dpgen writes them, and an `.npz` file as NumPy writes it."""
    images, labels = toy_images(12)
    channels_first = torch.from_numpy(images).permute(0, 3, 1, 2)
    made = SyntheticDataset(channels_first, torch.from_numpy(labels), CLASS_NAMES)
    plain = BytesIO()
    np.savez(plain, images=images.astype(np.float32) / 255, labels=labels, class_names=np.array(CLASS_NAMES))
    with TemporaryDirectory() as folder:
        write_parquet(made, Path(folder) / "t.parquet")
        write_npz(made, Path(folder) / "t.npz")
        written = {f"written.{kind}": (Path(folder) / f"t.{kind}").read_bytes() for kind in ("parquet", "npz")}
    return written | {"plain.npz": plain.getvalue()}


def checkpoint_files() -> Files:
    """Tensors and facts, as `Checkpoints` saves them, before their seal."""
    tensors = {"weights/a": torch.zeros(4, 3), "ema/a": torch.ones(4, 3), "optimizer/0/step": torch.tensor(1.0)}
    facts = {"step": 3, "optimizer": {"0/x": 1}, "identity": {"label": "train", "steps": 9}}
    return {"train.payload": safetensors.torch.save(tensors, metadata={"facts": json.dumps(facts)})}


def toy_pixels() -> Image.Image:
    """One made-up image, 24 x 24, RGB."""
    return Image.fromarray(toy_images(1, classes=1)[0][0].repeat(3, axis=2).repeat(3, axis=0).repeat(3, axis=1))


def event_files() -> Files:
    """Events as JSON."""
    step = PoissonSampled(0.1, Gaussian(1.0))
    nested = Composed((SelfComposed(step, 100), Laplace(2.0)))
    return {f"{i}.json": json.dumps(event.to_json()).encode() for i, event in enumerate((step, nested))}


def run_files() -> Files:
    """What a whole run of the toy generator leaves: record, ledgers, released model; and its configuration."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        config = toy_config(folder, [f"privacy.ledger={folder}/owner.jsonl", "run.format=npz", "method.steps=3"])
        run(config, registry=toy_registry())
        release = folder / "run" / "release"
        found = {path: release / path for path in ("run.json", "ledger.jsonl")}
        found |= {path.name: path for path in (release / "model").iterdir()}
        found["owner.jsonl"] = folder / "owner.jsonl"
        files = {name: path.read_bytes() for name, path in found.items()}
        return files | {"config.toml": to_toml(config).encode()}


def _images() -> Iterator[tuple[str, bytes]]:
    rgb = np.asarray(toy_pixels())
    for name, (mode, options) in _SAVED.items():
        yield name, saved(_in_mode(rgb, mode), name.rpartition(".")[2], **options)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "turned.jpg", saved(Image.fromarray(rgb), "jpg", exif=exif)
    frames = [Image.fromarray(rgb), Image.fromarray(255 - rgb)]
    for kind in ("gif", "webp", "png", "tiff"):
        yield f"animated.{kind}", saved(frames[0], kind, save_all=True, append_images=frames[1:])


def _in_mode(rgb: NDArray[np.uint8], mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(rgb[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(rgb).convert(mode)


def saved(image: Image.Image, suffix: str, **options: object) -> bytes:
    """One image as a file of the format that the suffix names."""
    file = BytesIO()
    image.save(file, {"jpg": "JPEG"}.get(suffix, suffix.upper()), **options)
    return file.getvalue()
