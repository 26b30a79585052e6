"""The tables of a configuration file, split by what they may change: guarantee, data, utility, scores, speed."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, NeighboringRelation
from dpgen.errors import ConfigError

Name = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class Table(BaseModel):
    """Base of all tables: frozen, finite numbers, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class PrivacyConfig(Table):
    """`[privacy]`: the guarantee.

    Nothing outside this table, `data.records`, `[method]`, a release that is `data.public` and the charge of a noisy
    validation (`evaluation.selection`, `evaluation.budget_share`) changes the plan.
    """

    epsilon: float = Field(gt=0)
    """The run's budget."""
    delta: float | Literal["auto"] = "auto"
    """A number in (0, 1), or "auto": 1 / (N ln N) with N the declared number of records."""
    relation: NeighboringRelation = ADD_OR_REMOVE_ONE
    """Which two data sets must be hard to tell apart: add_or_remove_one, or replace_one."""
    accountant: str = "pld"
    """Who proves the price: pld (certified), prv, rdp, gdp, or one of a plugin."""
    ledger: str | None = None
    """Path of the data owner's ledger, which adds up all runs on the same data; None keeps no such account."""
    ledger_epsilon: float | None = Field(default=None, gt=0)
    """Cap on the epsilon of all runs together; needs `ledger` and `ledger_delta`."""
    ledger_delta: float | None = Field(default=None, gt=0, lt=1)
    """Cap on the delta of all runs together; needs `ledger` and `ledger_epsilon`."""

    @field_validator("delta", mode="before")
    @classmethod
    def _number_or_auto(cls, value: object) -> object:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value == "auto" or (is_number and 0 < value < 1):  # type: ignore[operator]
            return value
        raise ValueError('must be a number strictly between 0 and 1, or "auto" for 1/(N ln N)')

    @model_validator(mode="after")
    def _whole_cap(self) -> Self:
        if (self.ledger_epsilon is None) != (self.ledger_delta is None):
            raise ValueError("ledger_epsilon and ledger_delta make one cap: give both or none")
        if self.ledger_epsilon is not None and self.ledger is None:
            raise ValueError("a cap needs `ledger`, the path of the data owner's ledger")
        return self

    def budget(self, records: int) -> Budget:
        """The budget for `records` declared records.

        Raises: `ConfigError` for delta = "auto" with fewer than 3 records, where 1 / (N ln N) says nothing.
        """
        if self.delta != "auto":
            return Budget(self.epsilon, self.delta, self.relation)
        if records < 3:
            raise ConfigError(
                f'privacy.delta = "auto" means 1/(N ln N) and needs data.records >= 3; found {records}. '
                "Give privacy.delta as a number."
            )
        return Budget(self.epsilon, 1 / (records * math.log(records)), self.relation)


class DataConfig(Table):
    """`[data]`: where the images are, and the public facts that the owner declares about the private ones."""

    private: str
    """A named source, or a path: a folder of class folders, a Parquet file or a pattern of them, an `.npz` file."""
    test: str | None = None
    """Private images kept for scoring alone, spelt like `private`; None makes no scores."""
    validation: str | None = None
    """Private images that only a noisy validation reads, spelt like `private` and disjoint from it and from `test`."""
    public: str | None = None
    """Images that anyone may see, spelt like `private`."""
    public_release: Literal["charged", "other_records"] = "charged"
    """Where `public` is a release of dpgen: its charges come first in this run's plan, since it may be made of the same
    records; "other_records" is the owner's word that none of them is in both, so nothing adds up."""
    records: int | None = Field(default=None, ge=1)
    """Declared number of private records; it sets divisors and rates and is never compared with the true number."""
    classes: tuple[str, ...] | None = None
    """Names of the private classes, in label order."""
    size: int | None = Field(default=None, ge=1)
    """Height and width in pixels that every image is brought to."""
    channels: Literal[1, 3] | None = None
    """1 (grey) or 3 (RGB), which every image is brought to."""
    unit: Literal["image", "person"] = "image"
    """Whose presence the guarantee hides."""
    max_images_per_person: int = Field(default=1, ge=1)
    """For the unit "person": the guarantee for that many images together is printed."""
    on_corrupt: Literal["refuse", "constant"] = "refuse"
    """What a file that cannot be decoded does: refuse the whole set, or be replaced by a mid-grey image."""
    public_options: dict[str, Any] = Field(default_factory=dict)
    """Settings of the public source, such as `count` and `seed`."""


class MethodConfig(BaseModel):
    """`[method]`: `name` selects the generator; all other keys are its own settings, checked against its `Config`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """The generator's own settings, not yet checked."""
        return dict(self.model_extra or {})


class EvaluationConfig(Table):
    """`[evaluation]`: how the synthetic images are scored. Scores read private data and are never released."""

    enabled: bool = True
    """Needs `data.test` to have an effect."""
    metrics: tuple[str, ...] | None = None
    """Registered metrics; None takes the protocol's own: accuracy, Fréchet distance, precision and recall."""
    extractor: str | None = None
    """A registered feature extractor; None learns features from the public images, or takes fixed cosines."""
    weights: str | None = None
    """File of weights for an extractor that needs one."""
    classifiers: tuple[str, ...] = ("cnn",)
    """Architectures trained on synthetic images: cnn, resnet, wide_resnet, resnext."""
    seeds: int = Field(default=1, ge=1)
    """Public seeds for which the classifiers are trained; several give a mean and a deviation."""
    steps: int | None = Field(default=None, ge=1)
    """Training steps of the classifier on synthetic images; None takes the protocol's own number."""
    feature_steps: int | None = Field(default=None, ge=1)
    """Training steps of the feature network on public images; None takes the protocol's own number."""
    candidates: int = Field(default=1, ge=1)
    """Trainings of each architecture for each seed; the one that `selection` chooses among all is scored."""
    selection: Literal["held_out_synthetic", "noisy_validation"] = "held_out_synthetic"
    """What chooses the classifier: synthetic images that trained nothing, or `data.validation` for a charge."""
    budget_share: float = Field(default=0.02, gt=0, lt=1)
    """Epsilon of a noisy validation alone, as a share of the run's; without one it has no effect."""
    diagnostics: bool = False
    """Also give the best accuracy on the private test set over everything trained: labelled, and never a result."""
    tuning: Literal["not_stated", "none", "public_data", "charged", "uncharged"] = "not_stated"
    """How the settings were chosen: none (fixed before), on public data, in runs charged to the owner's ledger, or by
    looking at private data without a charge."""


class LabelsConfig(Table):
    """`[labels]`: which share of the synthetic images each class gets."""

    prior: Literal["uniform", "counted"] | Annotated[tuple[float, ...], Field(min_length=1)] = "uniform"
    """"uniform": as many of each; "counted": the private shares, counted with noise for a charge of its own; or shares
    that may be known, one for each class and of any total, such as [3, 1]."""
    budget_share: float = Field(default=0.02, gt=0, lt=1)
    """Epsilon of the counts alone, as a share of the run's; without counts it has no effect."""


class ComputeConfig(Table):
    """`[compute]`: speed and memory; changes neither the guarantee nor, but for rounding, the law of any result."""

    device: str = "auto"
    """A torch device, or "auto": the first CUDA device where there is one, else the CPU."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; None leaves torch its own number."""
    physical_batch: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Rows in memory at once; "auto" measures how many fit and are of use, on made-up images."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of products and convolutions in DP-SGD's gradients; norms, sums and weights keep float32."""
    channels_last: Literal["auto"] | bool = "auto"
    """Memory format of DP-SGD's images and convolutions; "auto": channels-last on CUDA in bfloat16."""
    compile: bool = False
    """Compile DP-SGD's forward and backward pass with `torch.compile`; it takes a minute or more to begin with."""


class RunConfig(Table):
    """`[run]`: the run's name, its folder, its public seed, and how many images it makes."""

    name: str = Name
    """Letters, digits, dots, hyphens and underscores."""
    output: str | None = None
    """The run folder; None means runs/NAME."""
    seed: int = Field(default=0, ge=0)
    """Seed of public randomness alone: initial weights, public training, sampling. Privacy noise never uses it."""
    count: int = Field(default=1000, ge=1)
    """Synthetic images to make."""
    format: Literal["auto", "parquet", "npz", "imagefolder"] = "auto"
    """How synthetic images are stored; "auto" is Parquet where pyarrow is installed, else npz; "imagefolder" is a PNG
    file an image in class folders, with metadata.csv."""
    license: str = Field(default="unknown", pattern=r"^[a-z0-9][a-z0-9.+-]*$")
    """Under which the owner gives the release away, as the Hugging Face Hub spells licences: cc-by-4.0, mit, other."""

    @property
    def folder(self) -> Path:
        """Where the run lives."""
        return Path(self.output) if self.output is not None else Path("runs") / self.name


class Config(Table):
    """A whole run. Read one with `load`, `preset` or `from_toml` of `dpgen.config`."""

    privacy: PrivacyConfig
    data: DataConfig
    method: MethodConfig
    labels: LabelsConfig = LabelsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    compute: ComputeConfig = ComputeConfig()
    run: RunConfig

    def public(self) -> dict[str, Any]:
        """The configuration as plain data that may be released: of local paths only the last part is kept.

        Folder names above the data (a ward, a name) are the owner's business and no part of a release.
        """
        plain = self.model_dump(mode="json", exclude_none=True)
        plain["run"].pop("output", None)
        kept = {table: _without_folders(values) for table, values in plain.items()}
        if "classes" in plain["data"]:  # names, not paths: a slash in one belongs to it
            kept["data"]["classes"] = plain["data"]["classes"]
        return kept


def _without_folders(value: Any) -> Any:
    """`value` with every text that looks like a path cut to its last part."""
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return re.split(r"[/\\]", value.rstrip("/\\"))[-1] if isinstance(value, str) else value
