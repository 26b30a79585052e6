"""Where images come from: embedded sets, folders, Parquet, NumPy archives."""

from dpgen.data.sources.base import ImageSource, ImageTable
from dpgen.data.sources.spelling import open_source

__all__ = ["ImageSource", "ImageTable", "open_source"]
