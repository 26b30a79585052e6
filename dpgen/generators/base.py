"""The contract of a generator plugin: plan without data, fit through mechanisms, sample for free."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from dpgen import API_VERSION
from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.mechanisms.context import Progress, RunContext


class GeneratorConfig(BaseModel):
    """Base of a generator's settings: frozen, and an unknown key is an error.

    The docstring of a setting, or its `description`, explains it in what `dpgen config` prints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class Tags:
    """What a generator can do; the conformance checks are chosen by these."""

    conditional: bool = True
    """Makes images of a class that is asked for."""
    needs_public: bool = False
    """Cannot be fitted without a public data set."""
    multi_gpu: bool = False
    """Fits on several devices at once."""
    resumable: bool = True
    """A killed fit continues from its checkpoints."""
    divisible: bool = False
    """The images of a sample are drawn independently of one another: it may be drawn in parts, each under a seed of
    its own, and the parts by several processes."""


@dataclass(frozen=True, slots=True)
class PublicInfo:
    """What a plan may know of the public set: its name, image shape and class names."""

    name: str
    shape: Shape
    class_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be made: `count` synthetic images like the private set of `info`, perhaps helped by a public set."""

    info: DatasetInfo
    public_info: PublicInfo | None
    count: int
    class_shares: tuple[float, ...] | None = None
    """What each class has of images whose labels nobody asks for; None: as even as possible."""


class Generator(ABC):
    """A method that turns private images into synthetic ones."""

    name: ClassVar[str]
    api_version: ClassVar[int]
    """The `API_VERSION` that the plugin was written for, as a plain number: a default would follow every change."""
    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[GeneratorConfig]] = GeneratorConfig
    cites: ClassVar[tuple[str, ...]] = ()
    """References of the method, one line each: `Surname, Surname: Title. Venue 2024. arXiv 2401.00001`."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    @abstractmethod
    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """Every charge that `fit` will make, in order, with the noise solved for the budget. No data is at hand.

        Raises: `CalibrationError` when no amount of noise meets the budget.
        """

    @abstractmethod
    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Learn. Private records are reached only by `private.release`, with exactly the charges of `plan`.

        Every compute setting (`context.device`, `context.physical_batch`) leaves the plan as it is.
        """

    @abstractmethod
    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """`count` images, free of privacy cost, any number of times.

        Args: `labels` int64 `[count]`, default as even as possible over the classes; `seed` public, equal seeds
        give equal images. Raises: `InvalidValue` when the generator was not fitted or the labels do not fit.
        """

    def sample_on(self, context: RunContext) -> None:
        """From now on sample on `context.device`, as `context.compute` says; by default where it was fitted or loaded.

        Changes images by rounding alone.
        """
        return

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """All that `sample` needs: DP output or public, so it may be released."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """Make `sample` work from what `state_dict` gave, for the same task."""


__all__ = [
    "API_VERSION",
    "Generator",
    "GeneratorConfig",
    "PublicInfo",
    "Tags",
    "Task",
]
