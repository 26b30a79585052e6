"""Keeps private values out of the errors of code that is handed private records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dpgen.errors import DataError, DpgenError
from dpgen.mechanisms.out_of_memory import is_out_of_memory


@contextmanager
def discreet(what: str) -> Iterator[None]:
    """Replace an error, whose text may quote a record ("12 is out of bounds", `KeyError: 12`).

    Errors that say that memory ran out pass as they are: they hold sizes, and the caller may try a smaller batch.

    Raises: `DataError` that names only `what`, the code that failed.
    """
    try:
        yield
    except DpgenError:  # carries no record: by the rule of dpgen.errors
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise DataError(
            f"`{what}` must accept every record of the declared shape and classes; found {type(error).__name__}, "
            "its text withheld because it may quote a record. Check the labels against the declared classes, and "
            f"try `{what}` on made-up records."
        ) from None
