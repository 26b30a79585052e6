"""The report page: one file, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from markupsafe import Markup

from dpgen.accountants.base import Accountant
from dpgen.budget import EARLIER_RELEASE
from dpgen.record import NAME as RECORD
from dpgen.record import RunRecord
from dpgen.report.findings import SAMPLES, read_findings
from dpgen.report.pictures import privacy_picture, tradeoff_picture
from dpgen.report.rendering import render
from dpgen.report.risk import FALSE_POSITIVE_RATES, groups_of, risk_reading
from dpgen.report.scores import copy_check, score_lines
from dpgen.storage import digest

_SHOWN_FILES = 12
"""Digests listed on the page; a release of single images has thousands, all in `run.json`."""


def html(
    record: RunRecord,
    release: Path,
    *,
    internal: bool = False,
    scores: Mapping[str, Any] | None = None,
    accountant: type[Accountant] | None = None,
) -> str:
    """The report on the files in `release`.

    The `internal` copy alone may show `scores` (`Scores.to_json`). `accountant`, the one that the record names, prices
    for the page what pld cannot.
    """
    assert internal or scores is None, "scores on private images never enter the released report"
    measured = [] if scores is None else scores["scores"]
    return render(
        "report.html.j2",
        record,
        internal=internal,
        samples=_inline((release / SAMPLES).read_bytes()),
        findings=[(finding, finding.picture and _inline(finding.picture)) for finding in read_findings(release)],
        scores=score_lines(measured),
        copies=copy_check(measured),
        selection={} if scores is None else scores["selection"],
        **_risk(record, accountant),
        **_provenance(record, release),
    )


def _risk(record: RunRecord, accountant: type[Accountant] | None) -> dict[str, Any]:
    risk = risk_reading(record, accountant)
    return {
        "risk": risk,
        "privacy_picture": Markup() if risk is None else privacy_picture(risk.curve, record),
        "tradeoff_picture": Markup() if risk is None else tradeoff_picture(risk.curve),
        "false_positive_rates": FALSE_POSITIVE_RATES,
        "groups": groups_of(record),
        "earlier": EARLIER_RELEASE in record.plan,
        "replaces": str(record.guarantee.relation) == "replace_one",
    }


def _provenance(record: RunRecord, release: Path) -> dict[str, Any]:
    """How to repeat the run, and how to doubt its record."""
    files = sorted(record.released.items(), key=lambda item: (item[0].startswith("synthetic/"), item[0]))
    return {
        "config": tomli_w.dumps(dict(record.config)),
        "files": files[:_SHOWN_FILES],
        "more_files": len(files[_SHOWN_FILES:]),
        "record_digest": digest(release / RECORD) if (release / RECORD).exists() else None,
    }


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
