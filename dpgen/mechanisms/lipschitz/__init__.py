"""Certified Lipschitz constants of networks, and layers that are bounded by construction."""

from dpgen.mechanisms.lipschitz.certificate import LipschitzCertificate, certify
from dpgen.mechanisms.lipschitz.layers import (
    AolConv2d,
    AolLinear,
    BallProjection,
    Centre,
    Concatenation,
    GroupSort,
    Residual,
    Scale,
    project_onto_ball,
)

__all__ = [
    "AolConv2d",
    "AolLinear",
    "BallProjection",
    "Centre",
    "Concatenation",
    "GroupSort",
    "LipschitzCertificate",
    "Residual",
    "Scale",
    "certify",
    "project_onto_ball",
]
