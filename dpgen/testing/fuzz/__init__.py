"""Hostile files for all that dpgen reads: `python -m dpgen.testing.fuzz`.

Valid files that dpgen and its codecs wrote are damaged at random, and files are crafted to attack. Each is opened in a
child process with little memory and time. Whatever is no typed error, takes too much, runs code, or writes outside of
its folder is a failure; it is kept as a file, with the command that repeats it.
"""

from dpgen.testing.fuzz.campaign import Campaign, Failure, Tally, run_cases
from dpgen.testing.fuzz.targets import TARGETS, Case, Target

__all__ = ["TARGETS", "Campaign", "Case", "Failure", "Tally", "Target", "run_cases"]
