"""How long a distance takes beside the network that makes its features: `python -m benchmarks.metrics`.

Goal: FID of 10,000 against 10,000 images on a CPU in the time of the extractor and at most 5 % more. The extractor is
timed on `--sample` images and scaled, since its time is proportional to their number; its weights are random, which
changes no time. The distance is timed whole, on made-up features of the same number and with an uneven spectrum. Times
are those of the processor, over all threads, so that a busy machine changes the ratio little.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from dpgen.evaluation.base import Features
from dpgen.evaluation.metrics.frechet import frechet_distance
from dpgen.networks.classifier import ImageClassifier
from dpgen.networks.efficientnet_lite import EfficientNetLite0
from dpgen.networks.inception import InceptionFid


@dataclass(frozen=True)
class Line:
    """Seconds for both sets of images, and the share that the distance adds."""

    extractor: str
    features: int
    images: int
    extraction_seconds: float
    distance_seconds: float

    @property
    def share(self) -> float:
        """The distance's time as a share of the extractor's."""
        return self.distance_seconds / self.extraction_seconds


def extractors() -> dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], tuple[int, int, int], int]]:
    """Name -> how images become features, the shape that images have, and how many features there are."""
    small, lite, inception = ImageClassifier(1, 10, 24), EfficientNetLite0(), InceptionFid()
    for network in (small, lite, inception):
        network.requires_grad_(False).eval()
    return {
        "public_cnn, 28 px": (small.features, (1, 28, 28), small.feature_size),
        "efficientnet_lite0": (lite.features, (3, 32, 32), lite.feature_size),
        "inception_fid": (inception.features, (3, 32, 32), inception.feature_size),
    }


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, for one run."""
    start = time.process_time()
    work()
    return time.process_time() - start


def made_up(images: int, size: int, seed: int) -> Features:
    """Features whose covariance has eigenvalues over four orders of magnitude, as those of networks have."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).standard_normal((size, size)) / np.sqrt(size)
    made: Features = (random.standard_normal((images, size)) * np.geomspace(1, 0.01, size)) @ mixing
    return made


def measured(images: int, sample: int) -> list[Line]:
    """One line for each extractor."""
    lines = []
    for name, (extract, shape, size) in extractors().items():
        batch = torch.rand(sample, *shape, generator=torch.Generator().manual_seed(0))
        first, second = made_up(images, size, 1), made_up(images, size, 2)
        with torch.inference_mode():
            extract(batch[:1])  # the first call prepares kernels
            one = seconds(lambda extract=extract, batch=batch: extract(batch)) / sample  # type: ignore[misc]
        whole = seconds(lambda first=first, second=second: frechet_distance(first, second))  # type: ignore[misc]
        lines.append(Line(name, size, images, 2 * images * one, whole))
    return lines


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000, help="on each side")
    parser.add_argument("--sample", type=int, default=32, help="images that the extractor is timed on")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    lines = measured(given.images, given.sample)
    if given.json:
        facts = {"torch": torch.__version__, "threads": torch.get_num_threads(), "machine": platform.machine()}
        print(json.dumps(facts | {"lines": [vars(line) | {"share": line.share} for line in lines]}, indent=2))
        return
    print(f"{given.images} against {given.images} images, {torch.get_num_threads()} thread(s)")
    print(f"{'extractor':20} {'features':>8} {'extraction':>12} {'distance':>10} {'share':>8}")
    for line in lines:
        print(
            f"{line.extractor:20} {line.features:8d} {line.extraction_seconds:10.1f} s {line.distance_seconds:8.2f} s "
            f"{line.share:8.2%}"
        )


if __name__ == "__main__":
    main()
