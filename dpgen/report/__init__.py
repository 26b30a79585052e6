"""Records for people: one self-contained HTML page, the data card of a release, and tables over several runs.

Everything shown comes from the `RunRecord` and from released files. Only the internal copy is given scores.
"""

from __future__ import annotations

from dpgen.report.card import card
from dpgen.report.findings import SAMPLES, Finding, read_findings
from dpgen.report.page import html
from dpgen.report.wording import promise, upper_bound

__all__ = ["SAMPLES", "Finding", "card", "html", "promise", "read_findings", "upper_bound"]
