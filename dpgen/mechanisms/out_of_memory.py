"""Which errors mean that memory ran out, and what is said where nothing smaller can be tried."""

from __future__ import annotations

from typing import Final

import torch

_SIGNS: Final = (
    "can't allocate memory",  # PyTorch's CPU allocator
    "cannot allocate memory",  # the operating system's words for ENOMEM
    "cuda out of memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)
"""How a `RuntimeError` of PyTorch tells that memory ran out; only CUDA's own allocator has a type for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Does `error` say that memory ran out, on the device or on the host? Such texts hold sizes, never a record."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)
