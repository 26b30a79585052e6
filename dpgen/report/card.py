"""The data card of a release: YAML front matter that the Hugging Face Hub reads, then the guarantee in plain words."""

from __future__ import annotations

from dpgen.record import RunRecord
from dpgen.report.rendering import render


def card(record: RunRecord) -> str:
    """The data card (`README.md`) of a release."""
    return render("card.md.j2", record)
