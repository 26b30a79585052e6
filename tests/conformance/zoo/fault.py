"""A row of the table: the faulty object, the check that must catch it, and those that may fail with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

READS = "check_reads_records_only_in_a_release"
REFUSES = "check_refuses_before_reading"
MOVES = "check_neighbours_move_no_more_than_declared"
FLOW = "check_control_flow_is_equal_on_neighbours"
RELEASE = "check_release_is_equal_on_neighbours"
LOGS = "check_logs_and_prints_no_private_value"
NOISE = "check_noise_is_what_was_charged"
CHARGES = "check_charges_equal_plan"
SEEDS = "check_same_seeds_same_output"
GLOBAL = "check_global_random_state_untouched"
FILES = "check_leaves_no_file_outside_release"
EMPTY = "check_empty_and_single_class_data"
COMPUTE = "check_compute_settings_change_no_result"


@dataclass(frozen=True)
class Fault:
    """`also` holds checks that cannot but fail as well: the same fault seen from another side."""

    name: str
    make: Callable[[], Any]
    check: str
    also: tuple[str, ...] = ()


def faults(make: Callable[[type], Any], *rows: tuple[type, str, tuple[str, ...]]) -> tuple[Fault, ...]:
    """Rows of a class each, named by its docstring's first line."""
    return tuple(
        Fault((cls.__doc__ or "").splitlines()[0].rstrip("."), lambda cls=cls: make(cls), check, also)
        for cls, check, also in rows
    )
