"""The one source of secret randomness: the noise itself, Poisson subsets, and the randomness inside a record's loss.

Every draw is a function of (run key, label, step, tensor name): the same address gives the same draw, so work redone
after a crash repeats itself; two different addresses never share one.
"""

from dpgen.noise.base import NO_RECORD, Floats, Integers, NoiseSource, RowRandom
from dpgen.noise.rows import PublicRows
from dpgen.noise.sources import SecureNoise, SeededNoise

__all__ = ["NO_RECORD", "Floats", "Integers", "NoiseSource", "PublicRows", "RowRandom", "SecureNoise", "SeededNoise"]
