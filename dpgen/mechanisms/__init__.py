"""Mechanisms: the only code that sees private records."""

from dpgen.mechanisms.base import Mechanism, Records
from dpgen.mechanisms.checkpoints import Checkpoint, Checkpoints
from dpgen.mechanisms.compute import Compute
from dpgen.mechanisms.context import Progress, RunContext, SilentProgress

__all__ = ["Checkpoint", "Checkpoints", "Compute", "Mechanism", "Progress", "Records", "RunContext", "SilentProgress"]
