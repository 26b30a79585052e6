"""Public weights in a folder: read back as written; nothing altered, torn or private passes for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dpgen.data.datasets import PublicDataset
from dpgen.errors import DpgenError, InvalidValue, PrivacyError, StorageError
from dpgen.generators.pretrained import (
    Manifest,
    Pretrained,
    PublicSet,
    load_pretrained,
    read_manifest,
    save_pretrained,
)

PUBLIC = PublicDataset("made up", torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1, 0]), ("a", "b"))
WEIGHTS = {"layer.weight": torch.arange(6.0).reshape(2, 3).T, "table": torch.ones(2)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    part = Pretrained(part="diffusion", settings={"base": 4}, training={"steps": 2}, weights=WEIGHTS)
    save_pretrained(tmp_path / "kept", part, PublicSet.of(PUBLIC), seed=7)
    return tmp_path / "kept"


def test_what_was_written_is_read(folder: Path) -> None:
    manifest = read_manifest(folder, "diffusion")
    assert (manifest.settings, manifest.training, manifest.seed) == ({"base": 4}, {"steps": 2}, 7)
    assert manifest.public == PublicSet.of(PUBLIC)
    assert Manifest.from_json(manifest.to_json()) == manifest
    found = load_pretrained(folder, manifest)
    assert all(torch.equal(found[name], tensor) for name, tensor in WEIGHTS.items())


@pytest.mark.parametrize(
    "other",
    [
        PublicDataset("made up", PUBLIC.images + 1, PUBLIC.labels, PUBLIC.class_names),
        PublicDataset("made up", PUBLIC.images, PUBLIC.labels.flip(0) * 0, PUBLIC.class_names),
        PublicDataset("made up", PUBLIC.images, PUBLIC.labels, ("a", "c")),
        PublicDataset("made up", PUBLIC.images.reshape(3, 1, 2, 8), PUBLIC.labels, PUBLIC.class_names),
    ],
)
def test_other_public_images_have_another_digest(other: PublicDataset) -> None:
    assert PublicSet.of(other).sha256 != PublicSet.of(PUBLIC).sha256


@pytest.mark.parametrize(
    "sign", ["run.json", "release/run.json", "internal/run.key", "model/config.json", "config.json"]
)
def test_what_a_private_run_left_is_never_public(sign: str, folder: Path) -> None:
    path = folder / sign
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    with pytest.raises(PrivacyError, match=r"would spend budget that no ledger counts"):
        read_manifest(folder, "diffusion")


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def edited(path: Path) -> None:
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"format": "another"}))


def of_another_part(path: Path) -> None:
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"part": "autoencoder"}))


def a_list(path: Path) -> None:
    path.write_text("[1]")


@pytest.mark.parametrize(
    ("name", "damage", "kind"),
    [
        ("diffusion.safetensors", torn, StorageError),
        ("diffusion.safetensors", flipped, StorageError),
        ("diffusion.safetensors", Path.unlink, StorageError),
        ("diffusion.json", torn, StorageError),
        ("diffusion.json", edited, StorageError),
        ("diffusion.json", of_another_part, StorageError),
        ("diffusion.json", a_list, StorageError),
        ("diffusion.json", Path.unlink, InvalidValue),
    ],
)
def test_damaged_files_are_refused(
    name: str, damage: Callable[[Path], None], kind: type[DpgenError], folder: Path
) -> None:
    damage(folder / name)
    with pytest.raises(kind) as refusal:
        load_pretrained(folder, read_manifest(folder, "diffusion"))
    assert "expected" in str(refusal.value)


def test_weights_of_a_private_model_put_under_a_public_manifest_are_refused(folder: Path, tmp_path: Path) -> None:
    part = Pretrained(part="diffusion", settings={}, training={}, weights={"table": torch.zeros(2)})
    save_pretrained(tmp_path / "other", part, PublicSet.of(PUBLIC), seed=0)
    (tmp_path / "other" / "diffusion.safetensors").replace(folder / "diffusion.safetensors")
    with pytest.raises(StorageError, match="altered weights cannot be taken for public ones"):
        load_pretrained(folder, read_manifest(folder, "diffusion"))
