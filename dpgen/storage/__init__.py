"""Every file operation that matters: atomic replacement, sealed files, durable appends, a lock between processes.

Nothing here knows what the bytes mean. Each operation passes `failpoint` just before it touches the disk, so a test
can make any single one of them fail, or stop the process there, and look at what is left.
"""

from dpgen.storage.documents import parse_json
from dpgen.storage.files import (
    append_durably,
    digest,
    flush_durably,
    read,
    remove_durably,
    rename_durably,
    truncate_durably,
    write_atomically,
)
from dpgen.storage.lock import FileLock
from dpgen.storage.sealed import read_sealed, remove_sealed, sealed_exists, write_sealed
from dpgen.storage.seam import FailHook, failing, failpoint

__all__ = [
    "FailHook",
    "FileLock",
    "append_durably",
    "digest",
    "failing",
    "failpoint",
    "flush_durably",
    "parse_json",
    "read",
    "read_sealed",
    "remove_durably",
    "remove_sealed",
    "rename_durably",
    "sealed_exists",
    "truncate_durably",
    "write_atomically",
    "write_sealed",
]
