"""References become BibTeX, and a run names all that it used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpgen.cli.app import app
from dpgen.evaluation.private_test import TestSplit
from dpgen.evaluation.protocol import Protocol
from dpgen.pipeline import run
from dpgen.plugins.bibtex import Reference, keyed
from dpgen.plugins.citations import STANDARD_METRICS, citations, claims_of_name, claims_of_run
from dpgen.plugins.registry import default_registry
from dpgen.testing.toy_run import toy_config, toy_registry

ALL = sorted(
    {
        line
        for kind in ("generator", "accountant", "mechanism")
        for name in getattr(default_registry(), f"{kind}s")()
        for line in getattr(default_registry(), kind)(name).cites
    }
    | {line for name in STANDARD_METRICS for line in default_registry().metric(name).cites}
)


@pytest.mark.parametrize("line", ALL)
def test_each_reference_of_ours_is_spelt_so_that_its_parts_are_found(line: str) -> None:
    reference = Reference.parsed(line)
    assert reference.authors
    assert re.fullmatch(r"(19|20)\d\d", reference.year)
    parts = (reference.authors[0], reference.title, reference.venue, reference.year, reference.arxiv)
    assert all(part in line for part in parts)
    assert len(reference.title) > 10
    assert "arXiv" not in reference.title + reference.venue


@pytest.mark.parametrize("kind", ["accountant", "generator"])
def test_each_of_ours_states_its_references(kind: str) -> None:
    registry = default_registry()
    without = [name for name in getattr(registry, f"{kind}s")() if not getattr(registry, kind)(name).cites]
    assert without == []


def test_the_parts_of_a_reference_with_colons_and_points() -> None:
    line = "Li, Gong: PrivImage: With a Point. Truly. USENIX Security 2024. arXiv 2311.12850"
    reference = Reference.parsed(line)
    assert reference.title == "PrivImage: With a Point. Truly"
    assert (reference.venue, reference.year, reference.arxiv) == ("USENIX Security", "2024", "2311.12850")
    assert reference.key == "li2024privimage"
    entry = reference.bibtex("key")
    assert "author = {Li and Gong}" in entry
    assert "title = {{PrivImage: With a Point. Truly}}" in entry
    assert "eprint = {2311.12850}" in entry


def test_the_shorter_spelling() -> None:
    reference = Reference.parsed("Salimans et al., Improved Techniques, for GANs, NeurIPS 2016")
    assert reference.title == "Improved Techniques, for GANs"
    assert "author = {Salimans and others}" in reference.bibtex("k")
    assert Reference.parsed("Dowson and Landau, The Distance, JMVA 1982").authors == ("Dowson", "Landau")


def test_what_is_spelt_otherwise_is_kept_whole_and_escaped() -> None:
    reference = Reference.parsed("somebody & {others}, 50 %")
    assert reference.authors == ()
    assert r"somebody \& \{others\}, 50 \%" in reference.bibtex("k")


def test_keys_are_distinct_and_lines_are_given_once() -> None:
    lines = ["A: The Same. X 2020", "A: Same Again. X 2020", "A: The Same. X 2020", "Ä: A Same. Y 2020"]
    assert [key for key, _ in keyed(lines)] == ["a2020same", "a2020sameb", "a2020samec"]


def test_a_run_names_method_accountant_charges_and_metrics(tmp_path: Path) -> None:
    config = toy_config(
        tmp_path, [f"data.test={tmp_path}/test.npz", "evaluation.steps=2", "evaluation.feature_steps=2"]
    )
    record = run(config, registry=toy_registry())
    used = {purpose for citation in citations(claims_of_run(record, toy_registry())) for purpose in citation.used_for}
    assert {"method toy", "DP-SGD", "accountant rdp", "metric frechet_distance", "software"} <= used
    assert "exact discrete noise" not in used
    unscored = run(toy_config(tmp_path, [f"run.output={tmp_path}/unscored"]), registry=toy_registry())
    assert not any(purpose.startswith("metric") for purpose, _ in claims_of_run(unscored, toy_registry()))
    shown = CliRunner().invoke(app, ["cite", str(tmp_path / "run"), "--json"])
    assert [item["text"] for item in json.loads(shown.stdout)] == [
        citation.text for citation in citations(claims_of_run(record, toy_registry()))
    ]


def test_the_metrics_of_a_run_are_those_of_the_protocol() -> None:
    import torch

    split = TestSplit(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64), ("a",))
    assert tuple(metric.name for metric in Protocol(split)._metrics) == STANDARD_METRICS


def test_bibtex_alone_is_a_bib_file_and_a_reference_has_one_entry() -> None:
    done = CliRunner().invoke(app, ["cite", "rdp", "noisy_histogram", "--bibtex"], env={"COLUMNS": "80"})
    assert done.stdout.startswith("@misc{")
    assert done.stdout.count("2004.00010") == 1  # of both
    long = CliRunner().invoke(app, ["cite", "noisy_histogram", "gdp", "--bibtex"], env={"COLUMNS": "40"}).stdout
    assert re.fullmatch(r"(@misc\{\w+,\n(  \w+ = \{.*\},?\n)+\}\n\n?)+", long)  # no line of an entry is broken


def test_an_unknown_name_suggests_the_nearest() -> None:
    from dpgen.errors import UnknownName

    with pytest.raises(UnknownName, match="Did you mean 'privimage'"):
        list(claims_of_name("privimge", default_registry()))
