"""The published files of each named set: in which forms they are read, and which of them can be fetched.

Checksums are those that the authors or torchvision publish.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dpgen.data.sources.named import listed
from dpgen.data.sources.named.batches import Batches, BatchLayout
from dpgen.data.sources.named.facts import NAMED
from dpgen.data.sources.named.idx import EmnistLayout, IdxLayout
from dpgen.data.sources.named.layouts import Layout, ParquetLayout
from dpgen.data.sources.named.listed import ListedLayout


@dataclass(frozen=True, slots=True)
class Remote:
    """One file that can be fetched, to lie in the set's own folder. `checksum` is algorithm:hexadecimal digits."""

    url: str
    checksum: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


_TRAIN, _TEST = ((f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte") for part in ("train", "t10k"))

_MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/"
_EUROSAT_URL = "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/"

REMOTE: Final = MappingProxyType(
    {
        "mnist": (
            Remote(f"{_MNIST_URL}train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            Remote(f"{_MNIST_URL}train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"),
            Remote(f"{_MNIST_URL}t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"),
            Remote(f"{_MNIST_URL}t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"),
        ),
        "fashion_mnist": (
            Remote(f"{_FASHION_URL}train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            Remote(f"{_FASHION_URL}train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe"),
            Remote(f"{_FASHION_URL}t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79"),
            Remote(f"{_FASHION_URL}t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310"),
        ),
        "cifar10": (Remote(f"{_CIFAR_URL}cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530"),),
        "cifar100": (Remote(f"{_CIFAR_URL}cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8"),),
        "eurosat": (Remote(f"{_EUROSAT_URL}EuroSAT.zip", "md5:c8fa014336c82ac7804f0398fcb19387"),),
        "tiny_imagenet": (
            Remote("http://cs231n.stanford.edu/tiny-imagenet-200.zip", "md5:90528d7ca1a48142e341f4ef8d21d0de"),
        ),
        "emnist_letters": (
            Remote("https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip", "md5:58c8d27c78d21e728a6bc7b3cc06412e"),
        ),
    }
)
"""What can be fetched without an account and has a published checksum. The rest comes from its authors by hand."""

BY_HAND: Final = MappingProxyType(
    {
        "celeba_male": "get img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt from "
        "mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        "camelyon": "get camelyon17_v1.0 from wilds.stanford.edu and extract it",
        "imagenet32": "get Imagenet32_train.zip and Imagenet32_val.zip from image-net.org, which needs an account",
        "places365": "get the 256 x 256 images and the lists of Places365-Standard from places2.csail.mit.edu and "
        "extract them",
    }
)
"""Where the others come from."""


_BATCHES: Final = tuple(range(1, 6))

_CIFAR10 = (
    Batches(
        archive="cifar-10-binary.tar.gz",
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{number}.bin" for number in _BATCHES),
        test=("test_batch.bin",),
        label=0,
        label_bytes=1,
    ),
    Batches(
        archive="cifar-10-python.tar.gz",
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{number}" for number in _BATCHES),
        test=("test_batch",),
        label="labels",
    ),
)
_CIFAR100 = (
    Batches(
        archive="cifar-100-binary.tar.gz",
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        label=1,
        label_bytes=2,
    ),
    Batches(
        archive="cifar-100-python.tar.gz",
        folder="cifar-100-python",
        train=("train",),
        test=("test",),
        label="fine_labels",
    ),
)
_IMAGENET32 = Batches(
    archive="Imagenet32_train.zip",
    test_archive="Imagenet32_val.zip",
    folder="Imagenet32",
    train=tuple(f"train_data_batch_{number}" for number in range(1, 11)),
    test=("val_data",),
    label="labels",
    first_label=1,
)


def _idx(name: str, torchvision: str) -> IdxLayout:
    folders = (name, f"{name}/raw", f"{torchvision}/raw")
    return IdxLayout(NAMED[name], folders=folders, train=_TRAIN, test=_TEST)


def _own(name: str) -> tuple[Layout, ...]:
    """The forms that the authors publish."""
    facts = NAMED[name]
    match name:
        case "mnist":
            return (_idx(name, "MNIST"),)
        case "fashion_mnist":
            return (_idx(name, "FashionMNIST"),)
        case "cifar10" | "cifar100" | "imagenet32":
            forms = {"cifar10": _CIFAR10, "cifar100": _CIFAR100, "imagenet32": (_IMAGENET32,)}[name]
            return tuple(BatchLayout(facts, form) for form in forms)
        case "emnist_letters":
            return (EmnistLayout(facts),)
        case "eurosat":
            return (ListedLayout(facts, listed.eurosat, archive="EuroSAT.zip", roots=("2750", "EuroSAT_RGB")),)
        case "tiny_imagenet":
            root, archive = ("tiny-imagenet-200",), "tiny-imagenet-200.zip"
            return (ListedLayout(facts, listed.tiny_imagenet, archive=archive, roots=root),)
        case "celeba_male":
            lists = ("list_attr_celeba.txt", "list_eval_partition.txt")
            root, archive = ("img_align_celeba",), "img_align_celeba.zip"
            return (ListedLayout(facts, listed.celeba_male, archive=archive, roots=root, beside=lists),)
        case "camelyon":
            return (ListedLayout(facts, listed.camelyon, archive=None, roots=("camelyon17_v1.0",)),)
        case _:
            lists, roots = ("places365_train_standard.txt", "places365_val.txt"), ("data_256_standard", "data_256")
            return (
                ListedLayout(facts, listed.places365, archive=None, roots=roots, test_roots=("val_256",), beside=lists),
            )


_PACKS: Final = MappingProxyType({"tiny_imagenet": "tiny_imagenet32"})
"""Other names that a Parquet file may begin with."""

_LAYOUTS: Final = MappingProxyType(
    {name: (ParquetLayout(facts, alias=_PACKS.get(name)), *_own(name)) for name, facts in NAMED.items()}
)


def layouts(name: str) -> tuple[Layout, ...]:
    """The forms in which a named set is accepted, in the order in which they are looked for."""
    return _LAYOUTS[name]
