"""The name of a network's weights: equal exactly when every weight is."""

from __future__ import annotations

import hashlib

from torch import nn


def weights_digest(network: nn.Module) -> str:
    """SHA-256, in hex, over the names, types, shapes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {values.dtype} {values.shape};".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
