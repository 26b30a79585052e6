"""Damage to a valid file: bits, cuts, splices, headers, and, where it is JSON, its values."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from dpgen.ledger.chain import FIRST, encode
from dpgen.storage import digest

Mutator = Callable[[bytes, bytes, Random], bytes]
"""Makes another file out of a valid one, helped by a second valid one of the same kind."""

HOSTILE_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, -(2**63), 10**400, 0.5, -0.0, 1e308, 5e-324),
    *("", "x" * 10_000, "\x00", "\x1b[2J", "../../outside", "/etc/passwd", "\ud800", "NaN", "${HOME}", "💥"),
    *([], {}, [[]], [None] * 1000, {"type": "Gaussian"}, {"": {}}),
)
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_HEADER = 64


def mutate(name: str, content: bytes, other: bytes, random: Random) -> bytes:
    """A damaged `content`; the suffix of `name` tells which kinds of damage make sense."""
    kinds: Sequence[Mutator] = _OF_SUFFIX.get(name.rpartition(".")[2], _OF_BYTES)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        content = random.choice(kinds)(content, other, random)
    return content


def flip_bits(content: bytes, other: bytes, random: Random) -> bytes:
    """Up to 16 bits turned over, anywhere."""
    changed = bytearray(content or b"\0")
    for _ in range(random.randint(1, 16)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncate(content: bytes, other: bytes, random: Random) -> bytes:
    """The beginning alone."""
    return content[: random.randrange(len(content) + 1)]


def splice(content: bytes, other: bytes, random: Random) -> bytes:
    """The beginning of one file, then the end of another."""
    return content[: random.randrange(len(content) + 1)] + other[random.randrange(len(other) + 1) :]


def repeat(content: bytes, other: bytes, random: Random) -> bytes:
    """A piece put in many times over."""
    start, length = random.randrange(len(content) + 1), random.randint(1, 64)
    return content[:start] + content[start : start + length] * random.randint(2, 200) + content[start:]


def edit_header(content: bytes, other: bytes, random: Random) -> bytes:
    """A telling number of 1 to 8 bytes, either end first, written near the beginning or the end."""
    width = random.choice((1, 2, 4, 8))
    number = random.choice(_INTERESTING).to_bytes(8, "little")[:width]
    if random.random() < 0.5:
        number = number[::-1]
    place = random.randrange(min(_HEADER, len(content)) + 1)
    if random.random() < 0.3:
        place = max(0, len(content) - place)
    return content[:place] + number + content[place + width :]


def replace_setting(content: bytes, other: bytes, random: Random) -> bytes:
    """A TOML file with the value of one key changed."""
    lines = content.split(b"\n")
    places = [place for place, line in enumerate(lines) if b" = " in line]
    if not places:
        return flip_bits(content, other, random)
    place = random.choice(places)
    value = random.choice((_spelt(_hostile(None, random), random), b"nan", b"inf", b"1e999", b"9" * 5000))
    lines[place] = lines[place].partition(b" = ")[0] + b" = " + value
    return b"\n".join(lines)


def change_value(content: bytes, other: bytes, random: Random) -> bytes:
    """A JSON file with one value changed, or a key dropped, doubled or added."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return flip_bits(content, other, random)
    return _spelt(_changed(data, random), random)


def change_line(content: bytes, other: bytes, random: Random) -> bytes:
    """A ledger with one line changed, dropped or doubled, its hashes made to fit: only its sense is wrong."""
    try:
        entries = [json.loads(line) for line in content.split(b"\n") if line]
    except (ValueError, RecursionError):
        return flip_bits(content, other, random)
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        return flip_bits(content, other, random)
    place, kind = random.randrange(len(entries)), random.random()
    if kind < 0.7:
        changed = _changed(entries[place], random)
        entries[place] = changed if isinstance(changed, dict) else {"type": changed}
    else:
        entries[place : place + 1] = [] if kind < 0.85 else [entries[place]] * 2
    return rechained(entries)


def rechained(entries: Sequence[dict[str, Any]]) -> bytes:
    """The file of a ledger with these lines, each with the hash of the one before it."""
    head, lines = FIRST, []
    for entry in entries:
        plain = {key: value for key, value in entry.items() if key != "previous"}
        try:
            line = encode(plain, head)
        except ValueError:  # a NaN is no line at all
            line = json.dumps({"previous": head} | plain).encode()
        head = digest(line)
        lines.append(line + b"\n")
    return b"".join(lines)


def _changed(data: Any, random: Random) -> Any:
    """`data` with one value, somewhere in it, changed."""
    inner = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    if not inner or random.random() < 0.1:
        return _hostile(data, random)
    key = random.choice(inner)
    copy = data.copy()
    if random.random() < 0.1:
        del copy[key]
    else:
        copy[key] = _changed(data[key], random)
    if isinstance(copy, dict) and random.random() < 0.1:
        copy[random.choice(("type", "extra", "previous", "__class__"))] = _hostile(None, random)
    return copy


def _hostile(data: Any, random: Random) -> Any:
    if random.random() < 0.1:
        for _ in range(random.choice((10, 100, 400))):
            data = [data] if random.random() < 0.5 else {"event": data}
        return data
    return random.choice((*HOSTILE_VALUES, float("nan"), float("inf")))


def _spelt(data: Any, random: Random) -> bytes:
    text = json.dumps(data)
    if random.random() < 0.1:
        text = text.replace("{", '{"type": 1, "type": 2, ', 1)  # a key twice
    return text.encode()


_OF_BYTES: tuple[Mutator, ...] = (flip_bits, truncate, splice, repeat, edit_header)
_OF_SUFFIX: dict[str, tuple[Mutator, ...]] = {
    "json": (*_OF_BYTES, *(change_value,) * 10),
    "jsonl": (*_OF_BYTES, *(change_line,) * 10),
    "toml": (*_OF_BYTES, *(replace_setting,) * 10),
}
