"""The page as HTML that people, screen readers and printers can use: structure, self-containment, every kind of run."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, Charge, Guarantee, Plan
from dpgen.events import (
    AggregatePosterior,
    DiscreteGaussian,
    DpEvent,
    Gaussian,
    PoissonSampled,
    SampledWithoutReplacement,
    SelfComposed,
    Unsupported,
)
from dpgen.record import RunRecord
from dpgen.report import html
from dpgen.report.risk import risk_reading

VOID = {"meta", "img", "br", "path", "use", "rect", "link", "hr", "input"}
DPSGD = SelfComposed(PoissonSampled(0.1, Gaussian(2.0)), 20)


def record(*events: DpEvent, classes: int = 3, channels: int = 1, relation=ADD_OR_REMOVE_ONE, **changes) -> RunRecord:
    charges = tuple(Charge(f"look-{i}", event) for i, event in enumerate(events or (DiscreteGaussian(9.0, 3), DPSGD)))
    made = RunRecord(
        name="a run & <more>",
        private=True,
        guarantee=Guarantee(3.0, 1e-5, relation, "pld", "certified", ("floating point",)),
        group=None,
        budget=Budget(3.1, 1e-5, relation),
        charges=charges,
        plan=Plan(charges, notes=("cheap",)),
        config={"run": {"count": 30, "name": "x"}},
        data={
            "class_names": [f"class {i}" for i in range(classes)],
            "nominal_records": 1000,
            "shape": [channels, 8, 8],
            "unit": "image",
        },
        public_data="glyphs",
        generator="toy",
        cites=("somebody",),
        seeds={"run": 0},
        versions={"dpgen": "0.1.0"},
        released={f"synthetic/{i}.png": "ab" * 32 for i in range(20)} | {"samples.png": "cd" * 32},
    )
    return dataclasses.replace(made, **changes)


SCORES: dict[str, Any] = {
    "scores": [
        {
            "name": "accuracy",
            "value": 0.87654,
            "measured_by": "cnn@12",
            "touched": "private_test",
            "note": "not part of the DP release",
            "details": {"standard_error": 0.01, "images": 60, "per_class": {"class 0": 0.5, "class 1": None}},
        },
        {
            "name": "accuracy_over_trainings",
            "value": 0.8,
            "measured_by": "3 trainings",
            "touched": "private_test",
            "note": "x",
            "details": {"deviation": 0.021, "trainings": [1, 2, 3]},
        },
        {
            "name": "memorisation",
            "value": 0.31,
            "measured_by": "f@1",
            "touched": "private_train",
            "note": "x",
            "details": {"expected_without_copies": 0.05, "standard_error": 0.01},
        },
    ],
    "selection": {"chosen_on": "held-out synthetic images"},
}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    (tmp_path / "samples.png").write_bytes(b"png")
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "selection.json").write_text('{"class": {"0": [{"public": "O", "share": 0.5}]}}')
    (tmp_path / "selection.png").write_bytes(b"png")
    return tmp_path


class Outline(HTMLParser):
    """The elements of a page in order, which were left open, and the text of each table head."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.wrong.append(tag)

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def problems(page: str) -> list[str]:
    """What is wrong with the structure of a page; the checks that need no browser."""
    outline, found = Outline(page), []
    headings = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    links = [str(a.get("href")) for a in outline.all("a", "use")]
    found += ["not one h1"] * (headings.count(1) != 1)
    found += ["headings skip a level"] * any(b > a + 1 for a, b in zip([0, *headings], headings, strict=False))
    found += ["elements not closed in order"] * bool(outline.open or outline.wrong)
    found += ["an image without alternative text"] * any(not image.get("alt") for image in outline.all("img"))
    found += ["a table head without scope"] * any(head.get("scope") not in ("col", "row") for head in outline.all("th"))
    found += ["a picture without a name"] * any(
        svg.get("role") != "img" or svg.get("aria-labelledby") not in ids for svg in outline.all("svg")
    )
    found += ["an id twice"] * (len(ids) != len(set(ids)))
    found += ["a link to nowhere"] * any(link[1:] not in ids for link in links if link.startswith("#"))
    found += ["a script"] * bool(outline.all("script", "iframe", "object", "link", "form"))
    found += ["something to load"] * any(
        not str(element.get(name)).startswith(("data:", "#"))
        for _, element in outline.elements
        for name in ("src", "href", "srcset", "action", "data")
        if name in element
    )
    found += ["a style that loads"] * bool(re.search(r"@import|url\((?!#)", page))
    found += ["something that runs"] * any(key.startswith("on") for _, element in outline.elements for key in element)
    found += ["no language"] * (outline.all("html")[0].get("lang") != "en")
    found += ["no main landmark"] * (len(outline.all("main")) != 1)
    return found


KINDS = {
    "diffusion": record(),
    "gan": record(SelfComposed(SampledWithoutReplacement(1000, 10, Gaussian(1.0)), 20), relation=REPLACE_ONE),
    "kernel": record(Gaussian(4.0), public_data=None, channels=3),
    "evolution": record(SelfComposed(Gaussian(9.0), 5), classes=100),
    "vae": record(AggregatePosterior(1000, 30, 0.5)),
    "no price": record(Unsupported("a law of its own")),
    "one class": record(classes=1),
    "a person": record(group={"size": 4, "epsilon": 12.0, "delta": 1.0}),
    "a test double": record(private=False),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("internal", [False, True])
def test_every_kind_of_run_makes_a_sound_page(release: Path, kind: str, internal: bool):
    page = html(KINDS[kind], release, internal=internal, scores=SCORES if internal else None)
    assert problems(page) == []
    assert "a run &amp; &lt;more&gt;" in page
    assert not re.search(r"[>=(] ?None\b", page)


@pytest.mark.parametrize(
    ("find", "put", "named"),
    [
        ('alt="', 'title="', "an image without alternative text"),
        ('scope="col"', "", "a table head without scope"),
        ("</h1>", "</h1><h4>x</h4>", "headings skip a level"),
        ("<main", '<script src="x.js"></script><main', "a script"),
        ('src="data:', 'src="http:', "something to load"),
        ("</table>", "", "elements not closed in order"),
        ('id="risk"', 'id="words"', "an id twice"),
        ('href="#charges"', 'href="#nowhere"', "a link to nowhere"),
        (' role="img"', "", "a picture without a name"),
        ("<body>", '<body onload="x()">', "something that runs"),
    ],
)
def test_the_structural_checks_find_what_they_are_for(release: Path, find: str, put: str, named: str):
    page = html(record(), release)
    assert find in page
    assert named in problems(page.replace(find, put, 1))


def test_curves_and_attack_risk_are_those_of_the_accountant(release: Path):
    made = record()
    page, risk = html(made, release), risk_reading(made)
    assert risk is not None
    assert page.count("<svg") == 2
    for rate in (0.001, 0.01, 0.1):
        exact = risk.curve.at(rate)
        assert risk.found(rate) >= 1 - exact.estimate
    assert risk.guessed(0.5) == pytest.approx((1 + risk.curve.privacy.deltas[0].upper) / 2)  # 1/2 + TV/2
    assert 0.9 <= risk.guessed(0.1) <= 0.9 + 0.1 * risk.guessed(0.5)
    assert risk.found_in_group(2, 0.01) >= risk.found(0.01)


def test_nothing_is_promised_of_a_test_double_or_of_what_nobody_can_price(release: Path):
    for kind in ("a test double", "no price"):
        assert risk_reading(KINDS[kind]) is None
        assert "<svg" not in html(KINDS[kind], release)
    assert "Not private" in html(KINDS["a test double"], release)


def test_the_accountant_of_the_record_prices_what_pld_cannot():
    from dpgen.accountants.base import Accountant, Bound

    class Own(Accountant):
        name, kind, adaptive = "own", "bound", True

        def supports(self, event, *, relation):
            return True

        def epsilon(self, event, *, delta, relation):
            return Bound(1.0, 1.0, 1.0, "bound")

        def delta(self, event, *, epsilon, relation):
            return Bound(0.0, 0.0, 0.5 * 2.0**-epsilon, "bound")

    risk = risk_reading(KINDS["no price"], Own)
    assert risk is not None
    assert risk.accountant == "own"
    Own.kind = "approximation"
    assert risk_reading(KINDS["no price"], Own) is None


def test_scores_and_the_memorisation_check_are_for_the_owner_alone(release: Path):
    page, released = html(record(), release, internal=True, scores=SCORES), html(record(), release)
    assert "± 0.01<br>" in page
    assert "standard error over 60 images" in page
    assert "± 0.021" in page
    assert "deviation over 3 trainings" in page
    assert "clearly more" in page  # 31 % where 5 % are expected
    assert "<td>private test images</td>" in page
    for secret in ("0.8765", "31 %", "emorisation", "cnn@12", 'id="scores"'):
        assert secret not in released


def test_charges_are_spelt_out_in_words_and_numbers(release: Path):
    page = html(record(), release)
    assert "20 times, each with fresh noise: each image joins by its own secret coin (10 %)" in page
    assert "one image moves at most 3 of them, by one each" in page
    assert "20 x PoissonSampled(0.1, Gaussian(2))" in page


def test_how_to_verify_names_the_command_and_the_digest(release: Path):
    page = html(record(), release)
    assert "dpgen verify run.json" in page
    assert "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" in page  # SHA-256 of "{}"
    assert "and 9 more, all in run.json" in page  # of 21 files, the samples first
    assert f"{'cd' * 32}  samples.png" in page


def test_the_page_turns_dark_prints_and_fits_a_phone(release: Path):
    page = html(record(), release)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in page
    assert 'class="skip"' in page


def test_equal_records_make_equal_pages(release: Path):
    assert html(record(), release) == html(record(), release)
