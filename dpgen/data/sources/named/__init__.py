"""The data sets of the benchmark, by name."""

from dpgen.data.sources.named.facts import NAMED, NamedSet
from dpgen.data.sources.named.source import NamedSource, named_sources

__all__ = ["NAMED", "NamedSet", "NamedSource", "named_sources"]
