"""Record what torch-fidelity's Inception network says with made-up weights: `inception_reference.json`.

Its graph is then known to be ours whatever the weights are; the published ones, 95 MB, are not needed for that. As in
`record_metric_reference.py`: `PYTHONPATH=ORACLE python tests/oracle/record_inception_reference.py`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record_metric_reference import without_operators
from torch import Tensor

SIZES = ((32, 32), (28, 41), (310, 300))
COLUMNS = range(0, 2048, 64)


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Made-up weights by name, in the order of the names, under which no map dies out or grows."""
    random, made = np.random.default_rng(0), {}
    for name, shape in sorted(shapes.items()):
        if name.endswith("num_batches_tracked"):
            made[name] = torch.zeros((), dtype=torch.int64)
        elif len(shape) > 1:
            scale = np.sqrt(2 / np.prod(shape[1:]))
            made[name] = torch.from_numpy((scale * random.standard_normal(shape)).astype(np.float32))
        elif name.endswith(("running_var", "bn.weight")):
            made[name] = torch.from_numpy(random.uniform(0.5, 1.5, shape).astype(np.float32))
        else:
            made[name] = torch.from_numpy((0.1 * random.standard_normal(shape)).astype(np.float32))
    return made


def images(size: tuple[int, int]) -> Tensor:
    """One image uint8 `[1, 3, *size]`: blocks of colour, so that a resize shows."""
    random = np.random.default_rng(sum(size))
    blocks = random.integers(0, 256, (1, 3, -(-size[0] // 5), -(-size[1] // 5)))
    return torch.from_numpy(np.kron(blocks, np.ones((1, 1, 5, 5)))[:, :, : size[0], : size[1]].astype(np.uint8))


def names_digest(shapes: Mapping[str, Sequence[int]]) -> str:
    """SHA-256 over all names and shapes."""
    lines = [f"{name} {list(shape)}" for name, shape in sorted(shapes.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def values() -> dict[str, Any]:
    """Names, shapes, features and scores of the published network."""
    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    network = module.FeatureExtractorInceptionV3.__new__(module.FeatureExtractorInceptionV3)
    shapes: dict[str, list[int]] = {}

    def remember(self: torch.nn.Module, state: object) -> None:
        shapes.update({name: list(value.shape) for name, value in self.state_dict().items()})
        torch.nn.Module.load_state_dict(self, weights(shapes))

    module.FeatureExtractorInceptionV3.load_state_dict = remember
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save({}, file.name)
        network.__init__("recorded", ["2048", "logits_unbiased"], feature_extractor_weights_path=file.name)
    found = {}
    for size in SIZES:
        with torch.inference_mode():
            features, scores = network(images(size))
        found[f"{size[0]}x{size[1]}"] = {
            "features": features[0, list(COLUMNS)].tolist(),
            "mean": float(features.mean()),
            "scores": scores[0, :16].tolist(),
        }
    return {"entries": len(shapes), "names_digest": names_digest(shapes), "images": found}


def main() -> None:
    """Write the record beside this file."""
    kept = without_operators()  # dropped operators would take the import down
    record = {
        "about": __doc__.strip().splitlines()[0] if __doc__ else "",
        "command": "PYTHONPATH=ORACLE python tests/oracle/record_inception_reference.py",
        "versions": {"torch-fidelity": "0.4.0"},
        "values": values(),
    }
    Path(__file__).with_name("inception_reference.json").write_text(json.dumps(record, indent=1) + "\n")
    del kept


if __name__ == "__main__":
    main()
