"""From the one line of a reference to BibTeX.

`Surname, Surname: Title. Venue 2024. arXiv 2401.00001`, or the shorter `Surname et al., Title, Venue 2024`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from string import ascii_lowercase

_ARXIV = re.compile(r"\.?\s*arXiv[ :](?P<arxiv>\S+?)\.?$")
_LONG = re.compile(r"(?P<authors>[^:]+): (?P<title>.+)\. (?P<venue>[^.]*?)\s?(?P<year>(?:19|20)\d\d)\.?")
_SHORT = re.compile(
    r"(?P<authors>.+? et al\.|\w+ and \w+), (?P<title>.+), (?P<venue>[^,]*?)\s?(?P<year>(?:19|20)\d\d)\.?"
)
_ESCAPED = str.maketrans({character: f"\\{character}" for character in "&%$#_{}"})
_LITTLE = frozenset({"a", "an", "the", "on", "of", "in", "for", "and", "to", "with", "from"})


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference in its parts. `authors` and `year` are empty where the line is spelt in another way."""

    line: str
    title: str
    authors: tuple[str, ...] = ()
    venue: str = ""
    year: str = ""
    arxiv: str = ""

    @staticmethod
    def parsed(line: str) -> Reference:
        """The parts of a line; one that is spelt in another way is all title."""
        arxiv = _ARXIV.search(line)
        rest = line[: arxiv.start()] if arxiv else line
        parts = _LONG.fullmatch(rest) or _SHORT.fullmatch(rest)
        if not parts:
            return Reference(line, line)
        return Reference(
            line=line,
            title=parts["title"],
            authors=tuple(
                name.strip() for name in re.split(r",| and ", parts["authors"].replace(" et al.", ", others"))
            ),
            venue=parts["venue"].strip(),
            year=parts["year"],
            arxiv=arxiv["arxiv"] if arxiv else "",
        )

    @property
    def key(self) -> str:
        """First author, year, first word of weight: `li2024privimage`."""
        words = [word for word in re.split(r"[^\w-]+", self.title.lower()) if word and word not in _LITTLE]
        first = self.authors[0] if self.authors else ""
        return _plain("".join((first, self.year, *words[:1]))) or "reference"

    def bibtex(self, key: str) -> str:
        """The entry under `key`."""
        fields = {
            "author": " and ".join(self.authors),
            "title": f"{{{self.title.translate(_ESCAPED)}}}",  # a second pair of braces keeps the capitals
            "howpublished": self.venue.translate(_ESCAPED),
            "year": self.year,
            "eprint": self.arxiv,
            "archiveprefix": "arXiv" if self.arxiv else "",
        }
        lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
        return ",\n".join([f"@misc{{{key}", *lines]) + "\n}"


def keyed(lines: Iterable[str]) -> Iterator[tuple[str, Reference]]:
    """Each different line once, under a key of its own: a second one of the same key gets a letter."""
    taken: set[str] = set()
    for reference in map(Reference.parsed, dict.fromkeys(lines)):
        names = (reference.key + letter for letter in ("", *ascii_lowercase[1:]))
        key = next(name for name in names if name not in taken)
        taken.add(key)
        yield key, reference


def _plain(text: str) -> str:
    """Letters and digits of ASCII alone; accents are taken off."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", text.lower()))
