"""The machine: secret randomness from the operating system, places to write, room on the disk and in memory."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from dpgen.cli.doctor.finding import Finding, State, judged

GIB = 2**30
ENOUGH_DISK, LEAST_DISK = 2 * GIB, GIB // 10
ENOUGH_MEMORY = 2 * GIB


def entropy() -> Finding:
    """Is the operating system's generator ready? Run keys, and so all privacy noise, come from it."""
    expected = "the operating system's generator, ready, never twice the same"
    try:
        first, second = _drawn(), _drawn()
        good, found = first != second and len(first) == 32, "ready"
    except OSError as error:
        good, found = False, f"not ready ({type(error).__name__})"
    found = found if good or found != "ready" else "twice the same draw"
    mend = "Wait until the system is up, or give the container or virtual machine a source of entropy (virtio-rng)."
    return judged("entropy", good=good, expected=expected, found=found, mend=mend)


def _drawn() -> bytes:
    """32 bytes; with a generator that is not seeded yet (early boot, some containers) an error, not a wait for ever."""
    return os.getrandom(32, os.GRND_NONBLOCK) if sys.platform == "linux" else os.urandom(32)


def writable(name: str, folder: Path) -> Finding:
    """Can a file be written for good, and a lock be held, in `folder` or in the nearest folder above it?"""
    from dpgen.errors import StorageError
    from dpgen.storage import FileLock, write_atomically

    place = nearest(folder)
    expected = f"to write, sync and lock files in {folder}"
    mend = "Choose another folder (run.output or --out), or mend its permissions."
    try:
        with TemporaryDirectory(prefix=".dpgen-doctor.", dir=place) as inside:
            write_atomically(Path(inside) / "probe", b"probe")
            lock = FileLock(Path(inside) / "lock")
            good = lock.acquire()
            if good:
                lock.release()
            found = "writable" if good else "no lock could be taken"
    except (OSError, StorageError) as error:
        good, found = False, f"{type(error).__name__} in {place}"
    return judged(name, good=good, expected=expected, found=found, mend=mend)


def disk(folder: Path) -> Finding:
    """Free bytes where the run folder is: a run keeps checkpoints, weights and images there."""
    free = shutil.disk_usage(nearest(folder)).free
    return judged(
        "free disk",
        good=free >= ENOUGH_DISK,
        expected=f"{_gib(ENOUGH_DISK)} for checkpoints, weights and images",
        found=_gib(free),
        mend="Make room, or choose a folder on another disk (run.output or --out).",
        otherwise=State.NOTE if free >= LEAST_DISK else State.BROKEN,
    )


def memory() -> Finding:
    """Memory that is free for a run on the CPU, as the engine measures it."""
    import torch

    from dpgen.mechanisms.dp_sgd.memory import available_bytes

    free = available_bytes(torch.device("cpu"))
    return judged(
        "free memory",
        good=free >= ENOUGH_MEMORY,
        expected=f"{_gib(ENOUGH_MEMORY)}",
        found=_gib(free),
        mend="Close other programs, or set a small compute.physical_batch.",
        otherwise=State.NOTE,
    )


def nearest(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that exists."""
    absolute = folder.expanduser().absolute()
    return next(place for place in (absolute, *absolute.parents) if place.is_dir())


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
