"""Templates to text: the one environment that pages and cards are written in."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2

from dpgen.record import RunRecord
from dpgen.report.wording import RELATIONS, WORTH, event_in_words, number, percent_up, powers, promise, upper_bound


def render(template: str, record: RunRecord, **values: Any) -> str:
    """`template` with the record, its headline numbers, and `values`; what they say is escaped in HTML."""
    facts = {
        "record": record,
        "count": record.config["run"]["count"],
        "epsilon": upper_bound(record.guarantee.epsilon_upper),
        "delta": upper_bound(record.guarantee.delta),
        "promise": promise(record),
        "change": RELATIONS[record.guarantee.relation],
        "worth": WORTH[record.guarantee.kind],
    }
    return _environment().get_template(template).render(facts | values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dpgen"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (upper_bound, percent_up, powers, number, event_in_words)
    environment.filters |= {function.__name__: function for function in filters}
    return environment
