"""How many rows fit: bytes counted exactly on the CPU, a line through two sizes, nothing read."""

from __future__ import annotations

import logging
from functools import partial

import pytest
import torch
from torch import nn

from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.dp_sgd import DpSgd, memory
from dpgen.mechanisms.dp_sgd.memory import CPU_ROWS, MEMORY_SHARE, available_bytes, most_rows, rows_that_fit
from dpgen.noise import SeededNoise

CPU = torch.device("cpu")
MIB = 1 << 20


def filling(row: int, fixed: int = 0):
    """A pass that holds `fixed` bytes and `row` bytes for each of its rows (4 views)."""

    def run(examples: int) -> torch.Tensor:
        return torch.empty(fixed + examples * 4 * row, dtype=torch.uint8)

    return run


def test_the_peak_counts_what_is_alive_together():
    def run(examples: int) -> None:
        kept = torch.zeros(examples * 1000, dtype=torch.uint8)
        for _ in range(5):
            _ = kept[10:].view(-1) + 1  # a view is no memory; its sum is, and is gone by the next turn

    assert memory._peak_bytes(run, 3, CPU) == memory._peak_bytes(run, 3, CPU) <= 3 * 3000
    assert memory._peak_bytes(run, 3, CPU) >= 3000 + 2990


def test_what_the_backward_pass_keeps_is_seen():
    module = nn.Sequential(nn.Linear(100, 100), nn.Tanh(), nn.Linear(100, 100), nn.Tanh())

    def run(rows: int) -> None:
        module(torch.zeros(rows, 100)).sum().backward()

    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    small, large = (memory._peak_bytes(run, rows, CPU) for rows in (100, 200))
    assert large - small >= 3 * 100 * 100 * 4  # at least the input and both activations


@pytest.mark.parametrize(
    ("free", "row", "fixed", "expected"),
    [
        (1000, 1000, 0, 1),  # half of 1000 bytes: not even one row; begin there
        (64_000, 1000, 0, 32),
        (66_000, 1000, 0, 32),
        (127_000, 1000, 0, 32),
        (128_000, 1000, 0, 64),
        (128_000, 1000, 1000, 32),
        (10**12, 1000, 0, 4096),
    ],
)
def test_the_largest_power_of_two_that_fits(monkeypatch, free, row, fixed, expected):
    monkeypatch.setattr(memory, "available_bytes", lambda device: free)
    fit = partial(rows_that_fit, filling(row, fixed), views=4, device=CPU, most=4096)
    assert fit(sharers=1) == expected
    assert MEMORY_SHARE * free >= fixed + expected * row or expected == 1
    assert fit(sharers=2) == max(1, expected // 2) or expected == 4096 or fixed


def test_free_memory_is_a_real_number():
    assert MIB < available_bytes(CPU) < 1 << 50


def test_passes_on_cuda_are_a_small_part_of_a_step():
    cuda = torch.device("cuda")
    assert most_rows(CPU, expected_rows=10**6) == CPU_ROWS
    assert most_rows(cuda, expected_rows=4096 * 32) == 4096
    assert most_rows(cuda, expected_rows=8192) == 512
    assert most_rows(cuda, expected_rows=10) == 256


class Counting(ArrayRecords):
    """Notes how many records were read."""

    read = 0

    def batch(self, ids):
        self.read += len(ids)
        return super().batch(ids)


def inputs(images, labels, *, views, random):
    rows = images.repeat_interleave(views, 0)
    return rows + random.normal(*images.shape[1:]), labels.repeat_interleave(views)


def loss(module, images, labels):
    return nn.functional.cross_entropy(module(images.flatten(1)), labels, reduction="none")


def trained(**context) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    mechanism = DpSgd(
        module=nn.Linear(4, 2), inputs=inputs, loss=loss, clip_norm=0.1, noise_multiplier=1.0, views=4, steps=3,
        sampling_probability=0.5, nominal_records=20, optimizer=partial(torch.optim.SGD, lr=0.5),
    )  # fmt: skip
    data = ArrayRecords(torch.full((20, 1, 2, 2), 7, dtype=torch.uint8), torch.arange(20) % 2)
    found = mechanism._measure(
        data, noise=SeededNoise(1).under("x"), relation=ADD_OR_REMOVE_ONE, context=RunContext(**context)
    )
    return found.weights


def test_the_probe_reads_no_record_and_changes_results_by_rounding(monkeypatch, caplog):
    with caplog.at_level(logging.INFO, logger="dpgen.mechanisms"):
        automatic = trained(fit_to_memory=True)
    assert caplog.messages == ["32 examples with 4 views each in one pass, by a measured probe of memory"]
    for name, tensor in trained(physical_batch=4).items():
        torch.testing.assert_close(automatic[name], tensor, rtol=1e-5, atol=1e-7)
    nobody = Counting(torch.empty(0, 1, 2, 2, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
    noise, context = SeededNoise(1).under("x"), RunContext(fit_to_memory=True)
    mechanism = DpSgd(
        module=nn.Linear(4, 2), inputs=inputs, loss=loss, clip_norm=0.1, noise_multiplier=1.0, steps=1,
        sampling_probability=0.5, nominal_records=20, optimizer=partial(torch.optim.SGD, lr=0.5),
    )  # fmt: skip
    mechanism._measure(nobody, noise=noise, relation=ADD_OR_REMOVE_ONE, context=context)
    assert nobody.read == 0


def test_memory_that_runs_out_in_the_probe_leaves_one_example(monkeypatch, caplog):
    def exhausted(run, **_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr("dpgen.mechanisms.dp_sgd.passes.rows_that_fit", exhausted)
    with caplog.at_level(logging.INFO, logger="dpgen.mechanisms"):
        trained(fit_to_memory=True)
    assert caplog.messages[0].startswith("1 examples with 4 views each")
