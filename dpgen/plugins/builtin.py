"""What dpgen itself brings, through the same hooks as every plugin. Imports stay inside, one kind at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dpgen.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from dpgen.accountants.base import Accountant
    from dpgen.data.info import DatasetInfo
    from dpgen.data.sources.base import ImageSource
    from dpgen.evaluation.base import Metric
    from dpgen.evaluation.extractor import FeatureExtractor
    from dpgen.mechanisms.base import Mechanism
    from dpgen.plugins.progress_event import ProgressEvent


@hookimpl
def dpgen_register_accountants() -> list[type[Accountant]]:
    """The accountants that dpgen proves and tests itself; none imports a deep-learning library."""
    from dpgen.accountants.contour import ContourAccountant
    from dpgen.accountants.gdp import GdpAccountant, GdpCltAccountant
    from dpgen.accountants.pld import PldAccountant
    from dpgen.accountants.prv import PrvAccountant
    from dpgen.accountants.rdp import RdpAccountant

    return [PldAccountant, RdpAccountant, PrvAccountant, GdpAccountant, GdpCltAccountant, ContourAccountant]


@hookimpl
def dpgen_register_mechanisms() -> list[type[Mechanism[Any]]]:
    """The primitives that methods are built from."""
    from dpgen.mechanisms.dp_sgd import DpSgd
    from dpgen.mechanisms.gaussian_sum import GaussianSum
    from dpgen.mechanisms.histogram import NoisyHistogram
    from dpgen.mechanisms.lipschitz_vae import LipschitzVaeSampling
    from dpgen.mechanisms.noisy_maximum import NoisyMaximum
    from dpgen.mechanisms.repeated_gaussian_sum import RepeatedGaussianSum

    return [GaussianSum, RepeatedGaussianSum, NoisyHistogram, NoisyMaximum, DpSgd, LipschitzVaeSampling]


@hookimpl
def dpgen_register_metrics() -> list[type[Metric]]:
    """The scores of a run."""
    from dpgen.evaluation import metrics

    return [
        metrics.Accuracy,
        metrics.DensityCoverage,
        metrics.FeatureLikelihood,
        metrics.FrechetByClass,
        metrics.FrechetDistance,
        metrics.InceptionScore,
        metrics.KernelDistance,
        metrics.Memorisation,
        metrics.PrecisionRecall,
    ]


@hookimpl
def dpgen_register_feature_extractors() -> list[type[FeatureExtractor]]:
    """The spaces that scores are measured in."""
    from dpgen.evaluation.extractor import PixelCosines, PublicFeatures
    from dpgen.evaluation.inception import InceptionFeatures
    from dpgen.evaluation.pretrained import EfficientNetFeatures

    return [PublicFeatures, PixelCosines, EfficientNetFeatures, InceptionFeatures]


@hookimpl
def dpgen_register_datasets() -> list[type[ImageSource]]:
    """The sources that are selected by a name; folders, Parquet and npz files are selected by their path."""
    from dpgen.data.sources.digits import Digits, DigitsTest
    from dpgen.data.sources.glyphs import Glyphs
    from dpgen.data.sources.named import named_sources

    return [Digits, DigitsTest, Glyphs, *named_sources()]


@hookimpl
def dpgen_conformance_examples(info: DatasetInfo) -> list[object]:
    """Mechanisms for the conformance kit; accountants and metrics need no settings."""
    from dpgen.plugins.examples import (
        dp_sgd,
        gaussian_sum,
        lipschitz_vae_sampling,
        noisy_histogram,
        noisy_maximum,
        repeated_gaussian_sum,
    )

    sums = [gaussian_sum(info), repeated_gaussian_sum(info)]
    return [*sums, noisy_histogram(info), noisy_maximum(info), dp_sgd(info), lipschitz_vae_sampling(info)]


@hookimpl
def dpgen_run_progress(event: ProgressEvent, folder: Path) -> None:
    """Append the event to `progress.jsonl` in the run's `internal/`, one JSON document a line."""
    import json

    with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(event.to_json(), ensure_ascii=False) + "\n")
