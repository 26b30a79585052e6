"""JSON from strangers: each key once, finite numbers, few levels; all else is one typed error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgen.errors import InvalidValue
from dpgen.storage import parse_json
from dpgen.storage.documents import MOST_LEVELS

REFUSED = {
    "a key twice": '{"epsilon": 1, "epsilon": 2}',
    "a key twice, deeper": '[{"a": {"b": 1, "b": 1}}]',
    "NaN": "[NaN]",
    "infinity": "-Infinity",
    "infinity in disguise": "1e999",
    "thousands of digits": "9" * 5000,
    "no JSON": "{",
    "broken UTF-8": b"\xff\xfe",
    "deep lists": "[" * 100_000,
    "one level too many": "[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1),
    "deep objects": '{"a":' * 500 + "1" + "}" * 500,
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_refused(text: bytes | str) -> None:
    with pytest.raises(InvalidValue, match="expected JSON with each key once"):
        parse_json(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    )
)
def test_all_else_is_read_as_json_reads_it(data: object) -> None:
    text = json.dumps(data)
    assert parse_json(text) == parse_json(text.encode()) == json.loads(text)


def test_the_deepest_that_is_allowed_and_many_shallow_ones() -> None:
    assert parse_json("[" * MOST_LEVELS + "]" * MOST_LEVELS)
    assert parse_json("[" + ",".join(["[]"] * 1000) + "]") == [[]] * 1000
