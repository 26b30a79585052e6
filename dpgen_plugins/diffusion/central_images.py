"""The central images of DP-FETA: noisy mean or mode images of each class, as one bounded and charged release."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor

from dpgen.accountants.calibration.split import Part
from dpgen.budget import Plan
from dpgen.data.datasets import PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.data.writing import contact_sheet, eight_bit
from dpgen.errors import InvalidValue, PlanMismatch
from dpgen.events import DpEvent, Gaussian, PoissonSampled, SelfComposed
from dpgen.generators.training.private import charged_part
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.repeated_gaussian_sum import RepeatedGaussianSum, repeated_sum_event
from dpgen_plugins.diffusion.finishing import finished
from dpgen_plugins.diffusion.settings import CentralImageSettings

LABEL: Final = "central-images"
SHOWN_ROUNDS: Final = 8


@dataclass(frozen=True)
class CentralQuery(ABC):
    """A bounded vector for each image, and the central image of a class from a noisy sum of such vectors."""

    shape: Shape
    """Of the small images: those of the data with `factor` x `factor` pixels averaged into one."""
    factor: int

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Of a record's vector."""

    @property
    @abstractmethod
    def clip_norm(self) -> float:
        """L2 bound of a record's vector: how far one record moves the sum of a round."""

    @abstractmethod
    def vectors(self, images: Tensor, labels: Tensor) -> Tensor:
        """`[n, dimension]`; each row comes from its image alone."""

    @abstractmethod
    def images(self, sums: Tensor, deviation: float) -> Tensor:
        """Noisy sums `[m, dimension]` to small images `[m, *shape]` in [0, 1]: post-processing.

        Args: `deviation` of the noise in each coordinate.
        """

    def small(self, images: Tensor) -> Tensor:
        """`[n, pixels]`: each cell's average. Averages keep within the range and are no longer than their cells."""
        return F.avg_pool2d(images, self.factor).flatten(1)


@final
@dataclass(frozen=True)
class MeanQuery(CentralQuery):
    """The mean image as a ratio of two noisy sums: of the pixels, measured from `origin`, and of ones.

    The one lies in the same vector as the pixels, so one clip bounds both, the count costs no release of its own, and
    a clipped image is one of less weight in the mean, not a darker one. Weight 1 for the count is close to the best,
    sqrt(|mean| r) with r the root mean square of a pixel: 1.3 for digits of 14 x 14.
    """

    origin: float
    brightness: float

    @property
    def dimension(self) -> int:
        """The pixels and the one."""
        return math.prod(self.shape) + 1

    @property
    def clip_norm(self) -> float:
        """Of a vector whose pixels lie `brightness` from `origin`, in root mean square."""
        return math.sqrt(self.brightness**2 * math.prod(self.shape) + 1)

    def vectors(self, images: Tensor, labels: Tensor) -> Tensor:
        """The pixels from `origin`, then 1."""
        return F.pad(self.small(images) - self.origin, (0, 1), value=1.0)

    def images(self, sums: Tensor, deviation: float) -> Tensor:
        """The noisy count divides. Where it cannot be told from 0 the image is plain `origin`, which is public."""
        pixels, counts = sums[:, :-1], sums[:, -1:]
        present = counts > 2 * deviation
        means = pixels / torch.where(present, counts, 1.0)
        return (self.origin + torch.where(present, means, 0.0)).clamp(0, 1).float().reshape(-1, *self.shape)


@final
@dataclass(frozen=True)
class ModeQuery(CentralQuery):
    """For each pixel the grey value, of `bins` equally spaced ones, that the most images have: an argmax of histograms.

    An image adds 1 to one bin of each pixel: a vector of norm sqrt(pixels), so the query is bounded without a clip.
    Taking the mean of its bins from each pixel's vector changes no argmax and shortens it by sqrt(1 - 1 / bins).
    """

    bins: int

    @property
    def dimension(self) -> int:
        """The bins of all pixels."""
        return math.prod(self.shape) * self.bins

    @property
    def clip_norm(self) -> float:
        """The norm of every vector: nothing is ever clipped."""
        return math.sqrt(math.prod(self.shape) * (1 - 1 / self.bins))

    def vectors(self, images: Tensor, labels: Tensor) -> Tensor:
        """For each pixel a 1 at its bin, less the mean 1 / bins."""
        bins = (self.small(images) * self.bins).long().clamp(0, self.bins - 1)
        return (F.one_hot(bins, self.bins).double() - 1 / self.bins).flatten(1)

    def images(self, sums: Tensor, deviation: float) -> Tensor:
        """A class without records gives noise: an argmax has no default, and no count says that it is empty."""
        modes = sums.reshape(len(sums), -1, self.bins).argmax(2)
        return (modes / (self.bins - 1)).float().reshape(-1, *self.shape)


def central_query(settings: CentralImageSettings, image: Shape) -> MeanQuery | ModeQuery:
    """The query for images of this shape.

    Raises: `InvalidValue` when their sides do not divide by `factor`.
    """
    factor = settings.factor
    if image.height % factor or image.width % factor:
        raise InvalidValue(
            f"central.factor must divide the sides of the images; found {factor} for {image.height} x {image.width}. "
            "Change it, or `data.size`."
        )
    small = Shape(image.channels, image.height // factor, image.width // factor)
    if settings.kind == "mode":
        return ModeQuery(small, factor, settings.bins)
    return MeanQuery(small, factor, settings.origin, settings.brightness)


def central_part(settings: CentralImageSettings, info: DatasetInfo) -> Part:
    """The central images in a plan. Raises: `InvalidValue` as `central_query`."""
    central_query(settings, info.shape)
    return charged_part(
        LABEL,
        partial(central_event, settings, info),
        budget_share=settings.budget_share,
        noise_multiplier=settings.noise_multiplier,
    )


def central_event(settings: CentralImageSettings, info: DatasetInfo, noise_multiplier: float) -> DpEvent:
    """What all rounds cost together."""
    return repeated_sum_event(
        noise_multiplier=noise_multiplier,
        sampling_probability=sampling_probability(settings, info),
        rounds=settings.rounds,
    )


def sampling_probability(settings: CentralImageSettings, info: DatasetInfo) -> float:
    """The chance that a record joins a round: expected batch over declared records, at most 1."""
    return min(1.0, settings.expected_batch / info.nominal_records)


def noise_note(settings: CentralImageSettings, info: DatasetInfo, noise_multiplier: float) -> str:
    """For a plan: how noisy the images will be, from declared numbers alone."""
    query = central_query(settings, info.shape)
    a_class = sampling_probability(settings, info) * info.nominal_records / info.classes
    deviation = noise_multiplier * query.clip_norm
    if isinstance(query, ModeQuery):
        return f"mode images: {a_class:.4g} votes on a pixel of an average class, noise of deviation {deviation:.3g}"
    return (
        f"mean images of {query.shape.height} x {query.shape.width} cells: a cell of an average class of {a_class:.4g} "
        f"images gets noise of deviation {deviation / a_class:.3g}, in grey values from 0 to 1"
    )


def release_central_images(
    private: PrivateDataset, plan: Plan, settings: CentralImageSettings, context: RunContext
) -> tuple[Tensor, Tensor]:
    """One image of each class for each round, and their labels; released once, however often the run is resumed.

    Privacy: the charge that `plan` holds under "central-images"; add-or-remove-one L2 sensitivity of a round the
    query's `clip_norm`. What is returned, and published as `central_images.png`, is post-processing of it.
    Returns: uint8 `[rounds * classes, channels, height, width]` and int64 `[rounds * classes]`, round by round.
    """
    info = private.info
    query, noise_multiplier = central_query(settings, info.shape), _planned_noise(plan)
    mechanism = RepeatedGaussianSum(
        vectors=query.vectors,
        dimension=query.dimension,
        clip_norm=query.clip_norm,
        noise_multiplier=noise_multiplier,
        rounds=settings.rounds,
        sampling_probability=sampling_probability(settings, info),
        classes=info.classes,
        phase=LABEL,
    )
    sums = context.once(LABEL, lambda: {"sums": private.release(mechanism, label=LABEL)})["sums"].cpu()
    small = query.images(sums.flatten(0, 1), noise_multiplier * query.clip_norm)
    images = eight_bit(finished(small, info.shape, as_published=settings.finish))
    _publish(images, info, context)
    return images, torch.arange(info.classes).repeat(settings.rounds)


def _publish(images: Tensor, info: DatasetInfo, context: RunContext) -> None:
    """A sheet with a row for each class and a column for each of the first rounds."""
    by_class = images.reshape(-1, info.classes, *info.shape)[:SHOWN_ROUNDS].transpose(0, 1)
    sheet = contact_sheet(by_class.flatten(0, 1), columns=by_class.shape[1], row_names=info.class_names)
    context.publish("central_images.png", sheet)


def _planned_noise(plan: Plan) -> float:
    match plan[LABEL]:
        case SelfComposed(event=PoissonSampled(event=Gaussian(noise_multiplier=noise_multiplier))):
            return noise_multiplier
    raise PlanMismatch(expected=f"the event of repeated sums under {LABEL!r}", got=str(plan[LABEL]))
