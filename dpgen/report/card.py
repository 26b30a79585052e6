"""The data card of a release: YAML front matter that the Hugging Face Hub reads, then the guarantee in plain words.

Keys and values are those of the Hub's dataset-card specification; `differential_privacy` is our own, which it keeps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dpgen.record import RunRecord
from dpgen.report.rendering import render
from dpgen.report.tables import tuning

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_LARGEST = "10M<n<100M"
_FILES = {"parquet": "synthetic/train.parquet", "imagefolder": "synthetic/train/**"}
"""What the Hub can load, by how it is stored."""


def card(record: RunRecord) -> str:
    """The data card (`README.md`) of a release."""
    form = _form(record)
    return render(
        "card.md.j2",
        record,
        front_matter=_yaml(_facts(record, form)),
        form=form,
        loader=form in _FILES,
        license=_license(record),
        tuning=tuning(record),
    )


def _facts(record: RunRecord, form: str) -> dict[str, Any]:
    guarantee = record.guarantee
    count = int(record.config["run"]["count"])
    facts: dict[str, Any] = {
        "pretty_name": record.name,
        "license": _license(record),
        "annotations_creators": ["machine-generated"],
        "task_categories": ["image-classification"],
        "size_categories": [next((name for limit, name in _SIZES if count < limit), _LARGEST)],
        "tags": ["synthetic", "differential-privacy", "dpgen"],
        "differential_privacy": {"private": record.private, "epsilon": guarantee.epsilon_upper}
        | {"delta": guarantee.delta, "neighboring_relation": str(guarantee.relation)}
        | {"accountant": guarantee.accountant, "bound": guarantee.kind},
    }
    if form in _FILES:
        files = [{"split": "train", "path": _FILES[form]}]
        facts["configs"] = [{"config_name": "default", "data_files": files}]
    if form == "parquet":  # of class folders with a list the Hub's loader gives the class as text
        facts["dataset_info"] = {"features": _features(record.data["class_names"])}
    return facts


def _features(class_names: Sequence[str]) -> list[dict[str, Any]]:
    """The columns in the Hub's words."""
    names = {str(i): name for i, name in enumerate(class_names)}
    return [{"name": "image", "dtype": "image"}, {"name": "label", "dtype": {"class_label": {"names": names}}}]


def _form(record: RunRecord) -> str:
    """How the images are stored; read off the released files, for "auto" says nothing."""
    stored = {name.split("/")[1] for name in record.released if name.startswith("synthetic/")}
    forms = {"train.parquet": "parquet", "train.npz": "npz", "train": "imagefolder"}
    return next((form for name, form in forms.items() if name in stored), "")


def _license(record: RunRecord) -> str:
    return str(record.config["run"].get("license", "unknown"))


def _yaml(facts: Mapping[str, Any]) -> str:
    """Block YAML of plain data. Texts are JSON strings, which YAML reads alike; so no name can break the markup."""
    return "".join(f"{line}\n" for line in _lines(facts))


def _lines(value: Any) -> list[str]:
    """The lines of a mapping or of a list."""
    items = (
        [("-", item) for item in value] if isinstance(value, list) else [(_key(k), item) for k, item in value.items()]
    )
    lines: list[str] = []
    for head, item in items:
        if isinstance(item, (dict, list)) and item:
            inner = _lines(item)
            nested = (
                [f"- {inner[0]}", *(f"  {line}" for line in inner[1:])] if head == "-" else [head, *_indented(inner)]
            )
            lines += nested
        else:
            lines.append(f"{head} {_scalar(item)}")
    return lines


def _scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text  # 1e-05 is a text in YAML


def _key(name: str) -> str:
    return f"{name}:" if name.isidentifier() else f"{json.dumps(name)}:"


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
