"""The report page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from dpgen.record import RunRecord
from dpgen.report.findings import SAMPLES, read_findings
from dpgen.report.rendering import render


def html(record: RunRecord, release: Path, *, internal: bool = False, scores: Mapping[str, Any] | None = None) -> str:
    """The report on the files in `release`; the `internal` copy alone may show `scores` (`Scores.to_json`)."""
    assert internal or scores is None, "scores on private images never enter the released report"
    findings = [
        {"title": f.title, "columns": f.columns, "rows": f.rows, "picture": f.picture and _inline(f.picture)}
        for f in read_findings(release)
    ]
    return render(
        "report.html.j2",
        record,
        samples=_inline((release / SAMPLES).read_bytes()),
        findings=findings,
        internal=internal,
        scores=[] if scores is None else scores["scores"],
        config=tomli_w.dumps(dict(record.config)),
    )


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
