"""Data sets: what is public about them, how images come in, and how synthetic ones go out."""

from dpgen.data.datasets import ArrayRecords, PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.data.info import DatasetInfo, Shape, Unit
from dpgen.data.sources import ImageSource, ImageTable, open_source

__all__ = [
    "ArrayRecords",
    "DatasetInfo",
    "ImageSource",
    "ImageTable",
    "PrivateDataset",
    "PublicDataset",
    "Shape",
    "SyntheticDataset",
    "Unit",
    "open_source",
]
