"""What can be registered: for each kind its hook and the contract that its classes fulfil."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from dpgen.accountants.base import Accountant
    from dpgen.data.sources.base import ImageSource
    from dpgen.evaluation.base import Metric
    from dpgen.evaluation.extractor import FeatureExtractor
    from dpgen.generators.base import Generator
    from dpgen.mechanisms.base import Mechanism

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of class. The contract is kept as a path, so that naming a kind does not import its libraries."""

    name: str
    module: str
    class_name: str

    @property
    def plural(self) -> str:
        """Key of this kind in listings: `generators`."""
        return f"{self.name}s"

    @property
    def hook(self) -> str:
        """The hook that registers it: `dpgen_register_generators`."""
        return f"dpgen_register_{self.plural}"

    @property
    def contract(self) -> type[T]:
        """The abstract class that every class of this kind extends; imported now."""
        return cast("type[T]", getattr(import_module(self.module), self.class_name))


GENERATOR: Kind[Generator] = Kind("generator", "dpgen.generators.base", "Generator")
MECHANISM: Kind[Mechanism[Any]] = Kind("mechanism", "dpgen.mechanisms.base", "Mechanism")
ACCOUNTANT: Kind[Accountant] = Kind("accountant", "dpgen.accountants.base", "Accountant")
METRIC: Kind[Metric] = Kind("metric", "dpgen.evaluation.base", "Metric")
FEATURE_EXTRACTOR: Kind[FeatureExtractor] = Kind("feature_extractor", "dpgen.evaluation.extractor", "FeatureExtractor")
DATASET: Kind[ImageSource] = Kind("dataset", "dpgen.data.sources.base", "ImageSource")

KINDS: tuple[Kind[Any], ...] = (GENERATOR, MECHANISM, ACCOUNTANT, METRIC, FEATURE_EXTRACTOR, DATASET)
