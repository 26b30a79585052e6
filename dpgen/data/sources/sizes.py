"""What a file may claim to hold: a small file must not ask for much memory or time before it is found out.

An archive or a Parquet file states how large its content is, and compression lets a few bytes state a lot. Claims are
judged against the bytes that are really on the disk, before anything is allocated.
"""

from __future__ import annotations

from dpgen.errors import DataError

FREE_RECORDS = 10_000
"""As many records any file may hold; beyond that, at most one for each byte on the disk."""

FREE_BYTES = 2**28
MOST_PER_BYTE = 1000
"""As many bytes in memory any file may fill; beyond that, at most so many for each byte on the disk. Deflate reaches
1,032 on zeros alone."""


def check_claims(*, records: int, in_memory: int, on_disk: int, where: str) -> None:
    """Are `records` records that fill `in_memory` bytes believable for a file of `on_disk` bytes?

    Raises: `DataError` that names the file and no number: how many records there are is private.
    """
    if records > max(FREE_RECORDS, on_disk) or in_memory > max(FREE_BYTES, MOST_PER_BYTE * on_disk):
        raise DataError(
            f"expected in {where} about as much as its size on the disk allows; found a claim to hold far more, as in "
            "a decompression bomb. Write the file again, with less compression, or ask where it comes from."
        )
