"""From a configuration to a finished run folder."""

from dpgen.pipeline.planning import Prepared, prepare
from dpgen.pipeline.run import execute, run

__all__ = ["Prepared", "execute", "prepare", "run"]
