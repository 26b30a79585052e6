"""The data card: front matter that any YAML reader takes, with the Hub's keys, and what people must know."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Guarantee, Plan
from dpgen.events import Gaussian
from dpgen.record import RunRecord
from dpgen.report import card

yaml = pytest.importorskip("yaml", reason="reads the front matter as the Hub does; comes with huggingface_hub")

HUB_KEYS = {
    *("pretty_name", "license", "license_name", "license_link", "license_details", "language", "language_details"),
    *("tags", "annotations_creators", "language_creators", "size_categories", "source_datasets", "task_categories"),
    *("task_ids", "paperswithcode_id", "configs", "config_names", "dataset_info", "train-eval-index", "viewer"),
}
"""Of the Hub's dataset-card specification (hub-docs/datasetcard.md)."""

CHARGE = Charge("query", Gaussian(2.0))
RECORD = RunRecord(
    name='a "name": - # with [markup]',
    private=True,
    guarantee=Guarantee(1.00001, 1e-5, ADD_OR_REMOVE_ONE, "pld", "certified", ("floating point",)),
    group=None,
    budget=Budget(1.1, 1e-5, ADD_OR_REMOVE_ONE),
    charges=(CHARGE,),
    plan=Plan((CHARGE,)),
    config={"run": {"count": 4000, "license": "cc-by-4.0"}, "evaluation": {"tuning": "public_data"}},
    data={"class_names": ["no", "yes: or 'no'", "é"], "nominal_records": 10, "shape": [1, 8, 8], "unit": "image"},
    public_data=None,
    generator="toy",
    released={"synthetic/train.parquet": "ab"},
)


def front_matter(record: RunRecord) -> dict[str, Any]:
    return dict(yaml.safe_load(card(record).split("---\n")[1]))


def test_every_key_is_the_hubs_but_our_own():
    assert set(front_matter(RECORD)) - HUB_KEYS == {"differential_privacy"}


def test_the_facts_survive_any_reader_of_yaml():
    facts = front_matter(RECORD)
    assert facts["pretty_name"] == RECORD.name
    assert facts["license"] == "cc-by-4.0"
    assert facts["size_categories"] == ["1K<n<10K"]
    assert facts["differential_privacy"] == {
        "private": True,
        "epsilon": 1.00001,
        "delta": 1e-5,
        "neighboring_relation": "add_or_remove_one",
        "accountant": "pld",
        "bound": "certified",
    }
    label = facts["dataset_info"]["features"][1]["dtype"]["class_label"]["names"]
    assert label == {"0": "no", "1": "yes: or 'no'", "2": "é"}  # "no" stays a text


@pytest.mark.parametrize(
    ("file", "path"),
    [("train.parquet", "synthetic/train.parquet"), ("train/a/000000.png", "synthetic/train/**"), ("train.npz", None)],
)
def test_the_hub_is_told_what_it_can_load(file: str, path: str | None):
    stored = dataclasses.replace(RECORD, released={f"synthetic/{file}": "ab", "samples.png": "cd"})
    facts = front_matter(stored)
    if path is None:
        assert "configs" not in facts
        assert "load_dataset" not in card(stored)
    else:
        assert facts["configs"][0]["data_files"] == [{"split": "train", "path": path}]
        assert "load_dataset" in card(stored)


@pytest.mark.parametrize(("count", "size"), [(999, "n<1K"), (60_000, "10K<n<100K"), (10**8, "10M<n<100M")])
def test_the_size_is_the_hubs_category(count: int, size: str):
    config = {"run": {"count": count}}
    assert front_matter(dataclasses.replace(RECORD, config=config))["size_categories"] == [size]


def test_a_missing_licence_is_said():
    bare = dataclasses.replace(RECORD, config={"run": {"count": 3}})
    assert front_matter(bare)["license"] == "unknown"
    assert "has not stated one" in card(bare)
    assert "has not stated one" not in card(RECORD)


def test_limits_guarantee_and_tuning_are_said():
    text = card(RECORD)
    for said in ("## Limits", "floating point", "## Guarantee", "1.001", "dpgen verify run.json", "public data"):
        assert said in text


def test_a_test_double_is_no_private_release():
    assert front_matter(dataclasses.replace(RECORD, private=False))["differential_privacy"]["private"] is False
