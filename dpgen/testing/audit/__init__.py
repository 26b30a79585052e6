"""The audit ladder behind `dpgen audit`: a plan's mechanisms, rebuilt on made-up records and attacked."""

from __future__ import annotations

from dpgen.testing.audit.finding import Finding
from dpgen.testing.audit.ladder import DEFAULT_RUNG, DEFAULT_SECONDS, RUNGS, Audit, audit_plan
from dpgen.testing.audit.targets import Target, targets_of

__all__ = ["DEFAULT_RUNG", "DEFAULT_SECONDS", "RUNGS", "Audit", "Finding", "Target", "audit_plan", "targets_of"]
