"""Passes over micro-batches: masks, empty samples, and memory that runs out, none of which may change a sum."""

from __future__ import annotations

import itertools
import logging
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.errors import DataError, OutOfMemory
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.discreet import discreet
from dpgen.mechanisms.dp_sgd import DpSgd, clipped_gradient_sum, passes
from dpgen.mechanisms.dp_sgd.micro_batches import micro_batch
from dpgen.mechanisms.dp_sgd.pass_size import PassSize
from dpgen.mechanisms.dp_sgd.passes import Passes
from dpgen.mechanisms.out_of_memory import is_out_of_memory
from dpgen.noise import NO_RECORD, SeededNoise
from dpgen.testing.replay import measuring, record, replay

CPU = torch.device("cpu")
VIEWS, CLIP, COUNT = 4, 0.1, 11


def records(count: int = COUNT) -> ArrayRecords:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(1, 256, (count, 1, 3, 3), generator=generator, dtype=torch.uint8)
    return ArrayRecords(images, torch.arange(count) % 2)


def inputs(images, labels, *, views, random):
    rows = images.repeat_interleave(views, 0)
    return rows + 0.3 * random.normal(*images.shape[1:]), labels.repeat_interleave(views)


def divided(images, labels, *, views, random):
    """NaN for a black image, as padding is."""
    rows, labels = inputs(images, labels, views=views, random=random)
    return rows / images.mean((1, 2, 3), keepdim=True).repeat_interleave(views, 0), labels


def loss(module, images, labels):
    return nn.functional.cross_entropy(module(images.flatten(1)), labels, reduction="none")


def make(size: PassSize | None = None, **changes) -> Passes:
    torch.manual_seed(0)
    size = PassSize.of_rows(100, VIEWS) if size is None else size
    settings = {"module": nn.Linear(9, 2), "inputs": inputs, "loss": loss, "clip_norm": CLIP, "device": CPU}
    return Passes(**(settings | {"size": size, "fixed_shape": False} | changes))


def total(summing: Passes, ids=None, data=None) -> dict[str, torch.Tensor]:
    data = records() if data is None else data
    return summing.clipped_sum(data, data.ids if ids is None else ids, SeededNoise(0), step=5)


def assert_equal_to_rounding(first, second) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype == torch.float64
        torch.testing.assert_close(tensor, second[name], rtol=1e-5, atol=1e-7)


def fail_above(monkeypatch, rows: int, error: Exception | None = None) -> list[int]:
    """Let memory run out in every pass of more than `rows` rows, after its gradients are computed. Passes seen."""
    seen: list[int] = []

    def limited(module, loss, inputs, *, views, views_per_pass=None, **options):
        found = clipped_gradient_sum(module, loss, inputs, views=views, views_per_pass=views_per_pass, **options)
        seen.append(len(inputs[0]) // views * (views_per_pass or views))
        if seen[-1] > rows:
            raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return found

    monkeypatch.setattr(passes, "clipped_gradient_sum", limited)
    return seen


class TestPassSize:
    def test_whole_examples_first_then_views_of_one(self):
        assert PassSize.of_rows(256, 8) == PassSize(32, 8, 8)
        assert PassSize.of_rows(9, 4) == PassSize(2, 4, 4)
        assert PassSize.of_rows(3, 4) == PassSize(1, 4, 3)
        assert PassSize.of_rows(1, 1) == PassSize(1, 1, 1)

    @pytest.mark.parametrize(("rows", "views"), [(1000, 1), (64, 32), (7, 3), (5, 32), (1, 4)])
    def test_halving_ends_at_one_row(self, rows, views):
        size, sizes = PassSize.of_rows(rows, views), []
        while size is not None:
            sizes.append(size.rows)
            size = size.smaller()
        assert sizes[0] <= rows
        assert sizes[-1] == 1
        assert all(after < before for before, after in itertools.pairwise(sizes))


class TestMasks:
    def test_padding_is_no_record(self):
        batch = micro_batch(records(), np.array([4, 9]), CPU, size=5)
        assert batch.ids.tolist() == [4, 9, NO_RECORD, NO_RECORD, NO_RECORD]
        assert batch.mask.tolist() == [True, True, False, False, False]
        assert batch.images.shape == (5, 1, 3, 3)
        assert not batch.images[2:].any()
        assert micro_batch(records(), np.array([4, 9]), CPU).mask is None
        assert micro_batch(records(), np.array([4, 9]), CPU, size=2).mask.all()

    @pytest.mark.parametrize("turned", [inputs, divided])
    @pytest.mark.parametrize("examples", [1, 4, 11, 30])
    def test_padding_contributes_exactly_nothing(self, turned, examples):
        padded = total(make(PassSize(examples, VIEWS, VIEWS), inputs=turned, fixed_shape=True))
        assert_equal_to_rounding(padded, total(make(inputs=turned)))

    def test_a_padded_sum_of_nobody_is_zero(self):
        summing = make(PassSize(4, VIEWS, VIEWS), inputs=divided, fixed_shape=True)
        batch = micro_batch(records(), np.empty(0, dtype=np.int64), CPU, size=4)
        found = summing.gradients(batch, SeededNoise(0).row_random(batch.ids, views=VIEWS, device=CPU))
        assert all(torch.equal(tensor, torch.zeros_like(tensor)) for tensor in found.values())

    def test_a_mask_forgotten_is_seen(self, monkeypatch):
        """The broken twin: padding taken for records."""

        def maskless(*arguments, mask, **options):
            return clipped_gradient_sum(*arguments, **options)

        monkeypatch.setattr(passes, "clipped_gradient_sum", maskless)
        padded = total(make(PassSize(4, VIEWS, VIEWS), fixed_shape=True))
        with pytest.raises(AssertionError):
            assert_equal_to_rounding(padded, total(make()))

    @pytest.mark.parametrize("shape", [(4, False), (4, True), (1, True), (30, False)])
    def test_every_pass_has_the_shape_asked_for(self, monkeypatch, shape):
        examples, fixed = shape
        seen = fail_above(monkeypatch, 10**9)
        total(make(PassSize(examples, VIEWS, VIEWS), fixed_shape=fixed))
        sizes = [rows // VIEWS for rows in seen]
        whole, rest = divmod(COUNT, examples)
        assert sizes == [examples] * (whole + (fixed and rest > 0)) + ([rest] if rest and not fixed else [])

    def test_an_empty_sample_is_zero_without_a_pass(self, monkeypatch):
        seen = fail_above(monkeypatch, 10**9)
        found = total(make(fixed_shape=True), np.empty(0, dtype=np.int64))
        assert all(t.dtype == torch.float64 and not t.any() for t in found.values())
        assert {name: t.shape for name, t in found.items()} == {"weight": (2, 9), "bias": (2,)}
        assert seen == []


class TestMemoryRunsOut:
    @pytest.mark.parametrize("fixed", [False, True])
    @pytest.mark.parametrize("rows", [28, 9, 4, 3, 1])
    def test_the_sum_is_that_of_the_large_pass(self, monkeypatch, rows, fixed):
        expected = total(make())
        seen = fail_above(monkeypatch, rows)
        summing = make(fixed_shape=fixed)
        assert_equal_to_rounding(total(summing), expected)
        assert summing.size.rows <= rows
        assert max(seen) > rows

    def test_nothing_is_counted_twice(self, monkeypatch):
        """Every row of every record is in exactly one pass that succeeded, with the draws of its record."""
        done: list[torch.Tensor] = []

        def noting(module, loss, inputs, **options):
            if len(inputs[0]) > 3 * VIEWS:
                raise torch.OutOfMemoryError
            done.append(inputs[0])
            return clipped_gradient_sum(module, loss, inputs, **options)

        whole = inputs(*records().batch(records().ids), views=VIEWS, random=draws())[0]
        monkeypatch.setattr(passes, "clipped_gradient_sum", noting)
        total(make())
        assert torch.equal(torch.cat(done), whole)

    def test_a_failed_pass_counted_after_all_is_seen(self, monkeypatch):
        """The broken twin: what the failed pass had summed is kept, and its examples are summed again."""
        expected, kept = total(make()), []

        def keeping(module, loss, inputs, **options):
            found = clipped_gradient_sum(module, loss, inputs, **options)
            if len(inputs[0]) > 3 * VIEWS:
                kept.append(found.sum)
                raise torch.OutOfMemoryError
            return found

        monkeypatch.setattr(passes, "clipped_gradient_sum", keeping)
        found = total(make())
        assert_equal_to_rounding(found, expected)
        twice = {name: tensor + sum(part[name] for part in kept) for name, tensor in found.items()}
        with pytest.raises(AssertionError):
            assert_equal_to_rounding(twice, expected)

    def test_the_smaller_size_is_kept_and_logged(self, monkeypatch, caplog):
        seen = fail_above(monkeypatch, 3 * VIEWS)
        summing = make()
        with caplog.at_level(logging.WARNING, logger="dpgen.mechanisms"):
            total(summing)
            failures = sum(rows > 3 * VIEWS for rows in seen)
            total(summing)
        assert sum(rows > 3 * VIEWS for rows in seen) == failures
        assert summing.size == PassSize(3, VIEWS, VIEWS)
        assert "from now on 3 examples with 4 views each" in caplog.messages[-1]
        assert len(caplog.messages) == failures

    def test_memory_of_the_host_too(self, monkeypatch):
        expected = total(make())
        with pytest.raises(RuntimeError) as caught:
            torch.empty(1 << 50)  # the words of the allocator itself
        for error in (caught.value, MemoryError()):
            fail_above(monkeypatch, 8, error)
            assert_equal_to_rounding(total(make()), expected)

    def test_where_one_row_does_not_fit_the_error_says_what_to_do(self, monkeypatch):
        fail_above(monkeypatch, 0)
        with pytest.raises(OutOfMemory, match=r"gradient of one row.*smaller network"):
            total(make())

    def test_another_error_is_not_tried_again(self, monkeypatch):
        seen = fail_above(monkeypatch, 0, RuntimeError("index 7 is out of bounds"))
        with pytest.raises(DataError, match="withheld"):
            total(make())
        assert len(seen) == 1

    def test_training_under_pressure_is_the_same_training(self, monkeypatch):
        expected = train()
        fail_above(monkeypatch, 2)
        found = train()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("automatic", [False, True])
    def test_a_network_that_holds_few_rows_rehearses_and_trains_on_them(self, automatic):
        expected = train()
        network = Narrow(3)
        found = train(network, fit_to_memory=automatic)
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6)
        with pytest.raises(OutOfMemory, match="made-up examples"):
            train(Narrow(2))

    def test_replay_passes_though_memory_runs_out_for_one_neighbour(self, monkeypatch):
        run = partial(measuring, mechanism(), relation=ADD_OR_REMOVE_ONE)
        tape = record(run(records(), context=RunContext()))
        fail_above(monkeypatch, 3)
        keep = np.delete(np.arange(COUNT), 2)
        images, labels = records()._images[keep], records()._labels[keep]
        replay(run(ArrayRecords(images, labels, keep), context=RunContext()), tape, relation=ADD_OR_REMOVE_ONE)


def draws():
    return SeededNoise(0).row_random(records().ids, views=VIEWS, step=5, device=CPU)


class Narrow(nn.Linear):
    """Memory runs out above so many rows."""

    def __init__(self, rows: int) -> None:
        torch.manual_seed(0)
        super().__init__(9, 2)
        self.rows = rows


def narrow_loss(module, images, labels):
    if len(images) > getattr(module, "rows", 10**9):
        raise torch.OutOfMemoryError
    return loss(module, images, labels)


def mechanism(module: nn.Module | None = None) -> DpSgd:
    torch.manual_seed(0)
    return DpSgd(
        module=nn.Linear(9, 2) if module is None else module, inputs=inputs, loss=narrow_loss, clip_norm=CLIP,
        noise_multiplier=1.0, views=VIEWS,
        sampling_probability=0.5, steps=3, nominal_records=COUNT, optimizer=partial(torch.optim.SGD, lr=0.5),
    )  # fmt: skip


def train(module: nn.Module | None = None, **context) -> dict[str, torch.Tensor]:
    surroundings = {"noise": SeededNoise(3).under("x"), "context": RunContext(**context)}
    return mechanism(module)._measure(records(), relation=ADD_OR_REMOVE_ONE, **surroundings).weights


def test_rows_for_another_number_of_views_are_refused():
    """With two views returned where four are asked for, two records would pass for one example."""

    def halved(images, labels, *, views, random):
        return inputs(
            images, labels, views=1, random=SeededNoise(0).row_random(np.arange(len(images)), views=1, device=CPU)
        )

    with pytest.raises(DataError, match=r"examples \* views rows"):
        total(make(inputs=halved), np.arange(8))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("can't allocate memory"), False),
        (IndexError("Target 7 is out of bounds."), False),
    ],
    ids=repr,
)
def test_which_errors_mean_that_memory_ran_out(error, expected):
    assert is_out_of_memory(error) is expected
    with pytest.raises(type(error) if expected else DataError), discreet("x"):
        raise error
