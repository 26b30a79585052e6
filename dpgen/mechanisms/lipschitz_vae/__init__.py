"""Privacy from a model's own sampling noise: clipped codes of private records, released with Gaussian noise."""

from dpgen.mechanisms.lipschitz_vae.guarantee import GuaranteeKind, MetricGuarantee, StatedGuarantee
from dpgen.mechanisms.lipschitz_vae.provenance import Provenance
from dpgen.mechanisms.lipschitz_vae.sampling import LipschitzVaeSampling, Mode
from dpgen.mechanisms.lipschitz_vae.separation import code_separation, output_separation

__all__ = [
    "GuaranteeKind",
    "LipschitzVaeSampling",
    "MetricGuarantee",
    "Mode",
    "Provenance",
    "StatedGuarantee",
    "code_separation",
    "output_separation",
]
