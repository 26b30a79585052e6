"""Data sets by name: facts without a file, each accepted layout, and what is told where nothing is found."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dpgen.data import Shape, open_source
from dpgen.data.sources.named import NAMED, named_sources
from dpgen.data.sources.named.idx import read_idx
from dpgen.data.sources.named.place import data_folder
from dpgen.data.sources.named.published import BY_HAND, REMOTE, layouts
from dpgen.errors import ConfigError, DataError, InvalidValue, UnknownName

SOURCES = {source.name: source for source in named_sources()}
RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (6, 28, 28), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (6, 3072), dtype=np.uint8)
LABELS = np.array([0, 3, 9, 1, 1, 7], np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DPGEN_DATA", str(tmp_path))
    return tmp_path


def idx(values: NDArray[np.uint8]) -> bytes:
    axes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes((0, 0, 8, values.ndim)) + axes + values.tobytes()


def png(value: int, size: int = 8) -> bytes:
    written = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(written, "PNG")
    return written.getvalue()


def put(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def load(name: str, shape: Shape | None = None):
    source = SOURCES[name]()
    return source.load(shape or source.native_shape())


def test_facts_need_no_file():
    assert set(SOURCES) == {*NAMED, *(f"{name}_test" for name in NAMED)}
    assert {*REMOTE, *BY_HAND} == set(NAMED)
    for name, facts in NAMED.items():
        for part in (name, f"{name}_test"):
            source = SOURCES[part]()
            assert source.class_names() == facts.class_names
            assert len(set(facts.class_names)) == len(facts.class_names)
            assert source.native_shape() == facts.shape
        assert SOURCES[name]().nominal_records() == facts.records
    assert {n: (len(f.class_names), f.records, f.test_records) for n, f in NAMED.items() if n in BENCHMARK} == BENCHMARK


BENCHMARK = {
    "mnist": (10, 60_000, 10_000),
    "fashion_mnist": (10, 60_000, 10_000),
    "cifar10": (10, 50_000, 10_000),
    "cifar100": (100, 50_000, 10_000),
    "eurosat": (10, 23_000, 4_000),
    "celeba_male": (2, 162_770, 19_962),
    "camelyon": (2, 302_436, 85_054),
}
"""Classes, training and test images of DPImageBench's data sets (data/preprocess_dataset.py)."""


@pytest.mark.parametrize("name", NAMED)
def test_what_is_not_there_is_told_with_folder_and_files(name: str, folder: Path):
    with pytest.raises(DataError) as caught:
        SOURCES[name]().load(Shape(3, 8, 8))
    said = str(caught.value)
    assert str(folder) in said
    assert f"{name}-train.parquet" in said
    assert "DPGEN_DATA" in said
    assert (f"dpgen data fetch {name}" if name in REMOTE else BY_HAND[name]) in said
    assert all(layout.expected(train=True) in said for layout in layouts(name))


@pytest.mark.parametrize(("place", "packed"), [("mnist", True), ("mnist/raw", False), ("MNIST/raw", True)])
def test_mnist_by_its_own_files(folder: Path, place: str, packed: bool):
    for part, rows in (("train", slice(0, 4)), ("t10k", slice(4, 6))):
        for kind, values in (("images-idx3", GREY), ("labels-idx1", LABELS)):
            content = idx(values[rows])
            path = folder / place / f"{part}-{kind}-ubyte{'.gz' if packed else ''}"
            put(path, gzip.compress(content) if packed else content)
    train, test = load("mnist"), load("mnist_test")
    assert (train.images[:, 0].numpy() == GREY[:4]).all()
    assert train.labels.tolist() == [0, 3, 9, 1]
    assert test.labels.tolist() == [1, 7]


def test_emnist_is_set_upright_and_counts_from_0(folder: Path):
    (folder / "emnist_letters").mkdir()
    with zipfile.ZipFile(folder / "emnist_letters" / "gzip.zip", "w") as archive:
        for kind, values in (("images-idx3", GREY), ("labels-idx1", LABELS + 1)):
            archive.writestr(f"gzip/emnist-letters-train-{kind}-ubyte.gz", gzip.compress(idx(values)))
    table = load("emnist_letters")
    assert (table.images[:, 0].numpy() == GREY.transpose(0, 2, 1)).all()
    assert table.labels.tolist() == LABELS.tolist()


def records(labels: NDArray[np.uint8], *, coarse: bool) -> bytes:
    return b"".join(
        (b"\x07" if coarse else b"") + bytes([label]) + row.tobytes() for label, row in zip(labels, COLOUR, strict=True)
    )


def cifar_binary(folder: Path) -> None:
    for number in range(1, 6):
        put(folder / "cifar-10-batches-bin" / f"data_batch_{number}.bin", records(LABELS, coarse=False))


def cifar_python(folder: Path) -> None:
    for number in range(1, 6):
        batch = pickle.dumps({"data": COLOUR, "labels": LABELS.tolist()}, protocol=2)
        put(folder / "cifar10" / "cifar-10-batches-py" / f"data_batch_{number}", batch)


def cifar_archive(folder: Path) -> None:
    cifar_binary(folder)
    (folder / "cifar10").mkdir()
    with tarfile.open(folder / "cifar10" / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(folder / "cifar-10-batches-bin", "cifar-10-batches-bin")
    for path in (folder / "cifar-10-batches-bin").iterdir():
        path.unlink()


@pytest.mark.parametrize("write", [cifar_binary, cifar_python, cifar_archive])
def test_cifar10_by_its_own_files(folder: Path, write: Callable[[Path], None]):
    write(folder)
    table = load("cifar10")
    assert (table.images[:6].numpy() == COLOUR.reshape(6, 3, 32, 32)).all()
    assert table.labels.tolist() == LABELS.tolist() * 5


def test_cifar100_takes_the_fine_label(folder: Path):
    put(folder / "cifar-100-binary" / "train.bin", records(LABELS + 80, coarse=True))
    assert load("cifar100").labels.tolist() == (LABELS + 80).tolist()
    fine = {"data": COLOUR, "fine_labels": LABELS.tolist(), "coarse_labels": [0] * 6}
    put(folder / "cifar-100-python" / "test", pickle.dumps(fine))
    assert load("cifar100_test").labels.tolist() == LABELS.tolist()


def test_imagenet32_counts_from_1(folder: Path):
    (folder / "imagenet32").mkdir()
    batch = pickle.dumps({"data": COLOUR, "labels": (LABELS.astype(int) + 1).tolist(), "mean": COLOUR[0]})
    with zipfile.ZipFile(folder / "imagenet32" / "Imagenet32_train.zip", "w") as archive:
        for number in range(1, 11):
            archive.writestr(f"train_data_batch_{number}", batch)
    table = load("imagenet32")
    assert table.labels.tolist() == LABELS.tolist() * 10
    assert table.class_names[0] == "imagenet class 1"


class Hostile:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[object, ...]:
        return eval, ("1/0",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"data": Hostile(), "labels": [0]}),
        pickle.dumps({"data": COLOUR[:, :9], "labels": LABELS.tolist()}),
        pickle.dumps({"data": COLOUR, "labels": [0]}),
        pickle.dumps([1]),
        b"no pickle",
    ],
)
def test_a_batch_that_is_no_batch_is_refused(folder: Path, content: bytes):
    cifar_python(folder)
    put(folder / "cifar10" / "cifar-10-batches-py" / "data_batch_3", content)
    with pytest.raises(DataError, match="data_batch_3, which is damaged"):
        load("cifar10")


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", idx(GREY)[:-1], b"\0\0\x0d" + idx(GREY)[3:], b"\0\0\x08\x00"])
def test_a_file_that_is_no_idx_file_is_refused(content: bytes):
    with pytest.raises(DataError, match="whose header does not fit"):
        read_idx(content, where="x")


def test_damaged_archives_are_refused(folder: Path):
    put(folder / "mnist" / "train-images-idx3-ubyte.gz", gzip.compress(idx(GREY))[:-9])
    put(folder / "mnist" / "train-labels-idx1-ubyte.gz", gzip.compress(idx(LABELS)))
    with pytest.raises(DataError, match="cannot be read"):
        load("mnist")
    for name, file in (
        ("cifar10", "cifar-10-binary.tar.gz"),
        ("eurosat", "EuroSAT.zip"),
        ("emnist_letters", "gzip.zip"),
    ):
        put(folder / name / file, b"damaged")
        with pytest.raises(DataError, match=file):
            load(name)


def test_eurosat_is_split_by_the_names_of_its_files(folder: Path):
    names = [f"2750/{kind}/{kind}_{i}.png" for kind in ("Forest", "River") for i in range(27)]
    (folder / "eurosat").mkdir()
    with zipfile.ZipFile(folder / "eurosat" / "EuroSAT.zip", "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, png(number))
    order = sorted(names, key=lambda name: hashlib.sha256(name.rpartition("/")[2].encode()).digest())
    test, train = load("eurosat_test", Shape(3, 8, 8)), load("eurosat", Shape(3, 8, 8))
    assert test.images[:, 0, 0, 0].tolist() == [names.index(name) for name in order[:8]]
    assert train.images[:, 0, 0, 0].tolist() == [names.index(name) for name in order[8:]]
    assert set(train.labels.tolist()) <= {1, 8}


def test_celeba_by_its_lists(folder: Path):
    own = folder / "celeba_male"
    for number in range(4):
        put(own / "img_align_celeba" / f"00000{number}.jpg", png(number))
    rows = "\n".join(f"00000{number}.jpg {value} -1" for number, value in enumerate((1, -1, 1, -1)))
    put(own / "list_attr_celeba.txt", f"4\nMale Young\n{rows}\n")
    put(own / "list_eval_partition.txt", "000000.jpg 0\n000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n")
    train, test = load("celeba_male", Shape(3, 8, 8)), load("celeba_male_test", Shape(3, 8, 8))
    assert (train.labels.tolist(), train.images[:, 0, 0, 0].tolist()) == ([1, 0], [0, 1])
    assert test.labels.tolist() == [0]
    (own / "list_attr_celeba.txt").write_text("4\nYoung\n")
    with pytest.raises(DataError, match="the lists of CelebA"):
        load("celeba_male", Shape(3, 8, 8))


def test_camelyon_by_hospitals(folder: Path):
    root = folder / "camelyon" / "camelyon17_v1.0"
    rows = [(4, 0, 0, 1), (4, 1, 0, 0), (20, 0, 1, 1), (40, 0, 2, 0)]  # patient, split, hospital, tumor
    text = ",patient,node,x_coord,y_coord,tumor,slide,center,split\n"
    for number, (patient, split, centre, tumor) in enumerate(rows):
        text += f"{number},{patient:03d},2,{number},5,{tumor},0,{centre},{split}\n"
        node = f"patient_{patient:03d}_node_2"
        put(root / "patches" / node / f"patch_{node}_x_{number}_y_5.png", png(number))
    put(root / "metadata.csv", text)
    train, test = load("camelyon", Shape(3, 8, 8)), load("camelyon_test", Shape(3, 8, 8))
    assert (train.labels.tolist(), train.images[:, 0, 0, 0].tolist()) == ([1], [0])
    assert (test.labels.tolist(), test.images[:, 0, 0, 0].tolist()) == ([0], [3])


def test_tiny_imagenet_from_the_archive_and_the_folder(folder: Path):
    first, second = (name.split()[0] for name in NAMED["tiny_imagenet"].class_names[:2])
    files = {
        **{f"train/{name}/images/{name}_0.JPEG": png(i) for i, name in enumerate((first, second))},
        "val/images/val_0.JPEG": png(7),
        "val/val_annotations.txt": f"val_0.JPEG\t{second}\t0\t0\t1\t1\n".encode(),
    }
    own = folder / "tiny_imagenet"
    own.mkdir()
    with zipfile.ZipFile(own / "tiny-imagenet-200.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"tiny-imagenet-200/{name}", content)
    for _ in range(2):
        train, test = load("tiny_imagenet", Shape(3, 8, 8)), load("tiny_imagenet_test", Shape(3, 8, 8))
        assert sorted(zip(train.labels.tolist(), train.images[:, 0, 0, 0].tolist(), strict=True)) == [(0, 0), (1, 1)]
        assert (test.labels.tolist(), test.images[0, 0, 0, 0].item()) == ([1], 7)
        (own / "tiny-imagenet-200.zip").unlink(missing_ok=True)
        for name, content in files.items():
            put(own / "tiny-imagenet-200" / name, content)


def test_places365_by_its_lists(folder: Path):
    own = folder / "places365"
    put(own / "data_256_standard" / "a" / "airfield" / "1.jpg", png(3))
    put(own / "val_256" / "v.jpg", png(4))
    put(own / "places365_train_standard.txt", "/a/airfield/1.jpg 0\n")
    put(own / "places365_val.txt", "v.jpg 364\n")
    assert load("places365", Shape(3, 8, 8)).labels.tolist() == [0]
    assert load("places365_test", Shape(3, 8, 8)).labels.tolist() == [364]


def test_parquet_comes_first_and_may_be_in_parts(folder: Path):
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    for part in (0, 1):
        columns = {"image": [{"bytes": png(part), "path": ""}], "label": [part]}
        parquet.write_table(pyarrow.table(columns), folder / f"cifar10-train-{part}.parquet")
    cifar_binary(folder)
    table = load("cifar10", Shape(3, 8, 8))
    assert (table.labels.tolist(), table.images[:, 0, 0, 0].tolist()) == ([0, 1], [0, 1])


def test_without_the_variable_the_cache_folder_is_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("DPGEN_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder() == tmp_path / "cache" / "dpgen"


def test_the_first_images_of_a_source(folder: Path):
    cifar_binary(folder)
    source = open_source("cifar10[:4]", named=SOURCES)
    assert (source.name, source.nominal_records(), source.native_shape()) == ("cifar10", 4, Shape(3, 32, 32))
    assert source.load(Shape(3, 32, 32)).labels.tolist() == LABELS[:4].tolist()
    assert len(open_source("cifar10[:400]", named=SOURCES).load(Shape(3, 8, 8))) == 30
    for wrong, error in (("cifar10[:0]", InvalidValue), ("cifr10[:3]", UnknownName)):
        with pytest.raises(error):
            open_source(wrong, named=SOURCES)
    path = f"{folder}/a.npz[:3]"
    np.savez(folder / "a.npz", images=GREY, labels=LABELS)
    with pytest.raises(ConfigError, match="no options"):
        open_source(path, named=SOURCES, options={"count": 3})
    assert len(open_source(path, named=SOURCES, class_names=tuple("abcdefghij")).load(Shape(1, 8, 8))) == 3
