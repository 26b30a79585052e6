"""The report: self-contained, without scores unless internal, and bounds that still hold as shown."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, Charge, Guarantee, Plan
from dpgen.events import Gaussian
from dpgen.record import RunRecord
from dpgen.report import card, html, read_findings, upper_bound

CHARGE = Charge("query", Gaussian(2.0))
RECORD = RunRecord(
    name="<b>first</b>",
    private=True,
    guarantee=Guarantee(1.00001, 1e-5, ADD_OR_REMOVE_ONE, "prv", "bound", ("floating point",)),
    group=None,
    budget=Budget(1.1, 1e-5, ADD_OR_REMOVE_ONE),
    charges=(CHARGE,),
    plan=Plan((CHARGE,), notes=("cheap",)),
    config={"run": {"count": 3}},
    data={"class_names": ["a"], "nominal_records": 10, "shape": [1, 8, 8], "unit": "image"},
    public_data=None,
    generator="toy",
    cites=("somebody",),
)
SCORES = {
    "note": "not part of the DP release",
    "scores": [{"name": "accuracy", "value": 0.87654, "measured_by": "cnn@12", "touched": "private_test", "note": "x"}],
    "selection": {},
}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    (tmp_path / "samples.png").write_bytes(b"png")
    return tmp_path


class Tags(HTMLParser):
    """Collects tags and every place that a page loads something from."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_page_is_self_contained_and_runs_nothing(release: Path):
    page = Tags(html(RECORD, release))
    assert "script" not in page.tags
    assert page.sources
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in page.sources)


def test_what_a_record_says_is_escaped(release: Path):
    assert "<b>first</b>" not in html(RECORD, release)


def test_scores_are_in_the_internal_copy_alone(release: Path):
    assert "0.8765" in html(RECORD, release, internal=True, scores=SCORES)
    assert "do not publish" in html(RECORD, release, internal=True, scores=SCORES)
    assert "accuracy" not in html(RECORD, release)
    with pytest.raises(AssertionError):
        html(RECORD, release, scores=SCORES)


def test_a_run_with_a_test_double_is_stamped(release: Path):
    stamped = dataclasses.replace(RECORD, private=False)
    assert "Not private" in html(stamped, release)
    assert "Not private" in card(stamped)
    assert "Not private" not in html(RECORD, release)
    assert "Not private" not in card(RECORD)


def test_the_relation_is_said_in_words(release: Path):
    replaced = dataclasses.replace(RECORD, guarantee=dataclasses.replace(RECORD.guarantee, relation=REPLACE_ONE))
    assert "Replacing any one image by another" in html(replaced, release)
    assert "Adding or removing any one image" in html(RECORD, release)


def test_the_guarantee_of_a_person_is_shown(release: Path):
    grouped = dataclasses.replace(RECORD, group={"size": 5, "epsilon": 5.00005, "delta": 1e-4})
    for text in (html(grouped, release), card(grouped)):
        assert "at most 5" in text
        assert "5.001" in text


def test_the_card_has_front_matter_and_the_charges():
    head = card(RECORD).split("---")[1]
    assert re.search(r"^  epsilon: 1.00001$", head, re.MULTILINE)
    assert re.search(r"^  private: true$", head, re.MULTILINE)
    assert "| query | a sum with Gaussian noise, 2 times as large as what one image can add | `Gaussian(2)` |" in card(
        RECORD
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [(9.99997, "10"), (1.00001, "1.001"), (1.0, "1"), (0.00012345001, "0.0001235"), (float("inf"), "inf"), (0.0, "0")],
)
def test_a_bound_is_never_shown_too_small(value: float, shown: str):
    assert upper_bound(value) == shown
    assert float(shown) >= value


def test_published_facts_become_tables(release: Path):
    facts = {"public_classes": {"0": [{"class": "O", "share": 71.25}, {"class": "o", "share": 9.0}], "1": ["l"]}}
    (release / "selection.json").write_text(json.dumps(facts))
    (release / "selection.png").write_bytes(b"drawn")
    (release / "run.json").write_text("{}")
    (finding,) = read_findings(release)
    assert finding.title == "Selection"
    assert finding.columns == ("public classes", "class", "share", "value")
    assert finding.rows == (("0", "O", "71.25", ""), ("0", "o", "9", ""), ("1", "", "", "l"))
    assert finding.picture == b"drawn"
    assert "71.25" in html(RECORD, release)
