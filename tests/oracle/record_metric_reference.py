"""Record what torch-fidelity, prdc and the authors' FLD code say about made-up features: `metric_reference.json`.

None of them is a dependency: torch-fidelity needs torchvision, which dpgen does not install. Put them in a folder of
their own (`pip install --no-deps --target ORACLE torch-fidelity==0.4.0 prdc==0.2 torchvision`, and `fld/MoG.py` of
github.com/marcojira/fld), then run `PYTHONPATH=ORACLE python tests/oracle/record_metric_reference.py`.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

CASES = {
    "alike": {"reference": 300, "synthetic": 250, "training": 400, "features": 16, "scale": 1.0, "shift": 0.0},
    "shifted": {"reference": 200, "synthetic": 200, "training": 300, "features": 32, "scale": 1.0, "shift": 0.5},
    "narrow": {"reference": 250, "synthetic": 300, "training": 300, "features": 8, "scale": 0.4, "shift": 0.2},
    "wide": {"reference": 120, "synthetic": 100, "training": 150, "features": 200, "scale": 1.3, "shift": 0.1},
}


def features(case: dict[str, float]) -> dict[str, np.ndarray]:
    """The arrays of a case: correlated normals, all from seed 0."""
    random, size = np.random.default_rng(0), int(case["features"])
    mixing = random.standard_normal((size, size)) / np.sqrt(size)
    drawn = {name: random.standard_normal((int(case[name]), size)) for name in ("reference", "synthetic", "training")}
    drawn["synthetic"] = case["scale"] * drawn["synthetic"] + case["shift"]
    return {name: rows @ mixing for name, rows in drawn.items()} | {"logits": drawn["synthetic"][:, :8]}


def without_operators() -> torch.library.Library:
    """Lets torch-fidelity import without torchvision's compiled operators, as long as it is kept."""
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def values(case: dict[str, float]) -> dict[str, Any]:
    """What the published codes say about one case."""
    fid, kid, isc, prc = (
        importlib.import_module(f"torch_fidelity.metric_{name}") for name in ("fid", "kid", "isc", "prc")
    )
    prdc, mog = importlib.import_module("prdc"), importlib.import_module("fld.MoG")
    made = features(case)
    real, synthetic, training = (torch.from_numpy(made[name]) for name in ("reference", "synthetic", "training"))
    statistics = [fid.fid_features_to_statistics(rows) for rows in (real, synthetic)]
    size = min(len(real), len(synthetic))
    kernels = [
        kid.kernel_poly(first[:size].numpy(), second[:size].numpy(), kid_kernel_poly_degree=3,
                        kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1)
        for first, second in ((real, real), (real, synthetic), (synthetic, synthetic))
    ]  # fmt: skip
    seen, test, gen = mog.preprocess_feat(training, real, synthetic)
    mixture = mog.MoG(gen)
    mixture.fit(seen)
    neighbourhoods = prdc.compute_prdc(made["reference"], made["synthetic"], 5)
    return {
        "frechet_distance": fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"],
        "kernel_distance": kid.mmd2(*kernels),
        "kernel_distance_images": size,
        "inception_score": isc.isc_features_to_metric(torch.from_numpy(made["logits"]), splits=1)[
            "inception_score_mean"
        ],
        "precision_recall_3": prc.calculate_precision_recall_full(synthetic, real, 3),
        "density": neighbourhoods["density"],
        "coverage": neighbourhoods["coverage"],
        "negative_log_likelihood_per_feature": mixture.get_dim_adjusted_nlls(test).mean().item(),
    }


def main() -> None:
    """Write the record beside this file."""
    kept = without_operators()  # dropped operators would take the import down
    about = __doc__.strip().splitlines()[0] if __doc__ else ""
    record = {
        "about": about,
        "command": "PYTHONPATH=ORACLE python tests/oracle/record_metric_reference.py",
        "versions": {"torch-fidelity": "0.4.0", "prdc": "0.2", "fld": "marcojira/fld@245ac7c"},
        "cases": {name: {"case": case, "values": values(case)} for name, case in CASES.items()},
    }
    Path(__file__).with_name("metric_reference.json").write_text(json.dumps(record, indent=1) + "\n")
    del kept


if __name__ == "__main__":
    main()
