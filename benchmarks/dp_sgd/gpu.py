"""On one CUDA device: seconds and memory under bf16, channels-last and torch.compile, and the best of each route.

Wall-clock time until the device is idle, smallest of alternating rounds. In and out as in `speed`. Memory is torch's
largest allocation during a step above that before it. The reference is a compiled bf16 non-private step on the same
rows, channels-last or not, whichever is faster; ours is in the best of its settings.

Rows: the largest power of two times the views that fits, at most `MOST_ROWS`, found for each route in its eager bf16
setting by doubling; ours and the non-private step share theirs. Opacus runs in fp32 (TF32) and under bf16 autocast, on
contiguous images only: on channels-last ones its gradients are wrong, and its hooks do not compile.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from benchmarks.dp_sgd.cases import CLIP_NORM, GPU_CASES, SMALLEST, Case, Rows, row_losses
from benchmarks.dp_sgd.measuring import device_seconds, take_turns
from benchmarks.dp_sgd.opacus_routes import ABSENT, Ghost, Hooks
from benchmarks.dp_sgd.routes import NonPrivate, Ours, Route
from benchmarks.record import Goal
from dpgen.mechanisms.compute import Compute
from dpgen.mechanisms.dp_sgd.computed import computed_loss

VIEWS, QUICK_VIEWS = (8, 32), (4,)
MOST_ROWS = 4096
HIGHEST_RATIO, HIGHEST_MEMORY_RATIO = 1.25, 1.15

EAGER = Compute(precision="bfloat16", channels_last=False, compile=False)
SETTINGS = {
    "bf16": EAGER,
    "bf16, channels-last": Compute(precision="bfloat16", channels_last=True, compile=False),
    "bf16, compiled": Compute(precision="bfloat16", channels_last=False, compile=True),
    "bf16, channels-last, compiled": Compute(precision="bfloat16", channels_last=True, compile=True),
}
PEER_SETTINGS = {"fp32": Compute(precision="float32", channels_last=False, compile=False), "bf16": EAGER}


@dataclass(frozen=True, slots=True)
class OnDevice:
    """One route in one setting; ratios are over the reference, NaN where the rows differ or nothing was measured."""

    case: str
    views: int
    route: str
    setting: str
    rows: int
    parameters: int
    seconds: float
    rows_per_second: float
    ratio: float
    mebibytes: float
    memory_ratio: float


def measure(quick: bool, repeats: int) -> Iterator[OnDevice]:
    """All cases on the CUDA device."""
    device = torch.device("cuda")
    cases, views = ((SMALLEST,), QUICK_VIEWS) if quick else (GPU_CASES, VIEWS)
    torch.set_float32_matmul_precision("high")  # TF32 wherever a peer asks for fp32; our sums refuse it themselves
    for case in cases:
        for k in views:
            yield from on_device(case, k, device, repeats)


def on_device(
    case: Case, views: int, device: torch.device, repeats: int, *, most_rows: int = MOST_ROWS
) -> Iterator[OnDevice]:
    """All routes and settings of one case; `device` may be the CPU, which has no memory figures."""
    rows = largest_that_fits(case, Ours, views, device, most_rows)
    contest = [(route, name, compute) for name, compute in SETTINGS.items() for route in (NonPrivate, Ours)]
    found = _measured(case, contest, views, rows, device, repeats)
    reference = min(
        (one for one in found if one.route == NonPrivate.name and one.setting.endswith("compiled")),
        key=lambda one: one.seconds,
    )
    for route in () if ABSENT else (Hooks, Ghost):
        own = largest_that_fits(case, route, views, device, most_rows)
        peers = [(route, name, compute) for name, compute in PEER_SETTINGS.items()]
        found += _measured(case, peers, views, own, device, repeats)
    for one in found:
        yield _against(reference, one)


def largest_that_fits(case: Case, route: type[Route], views: int, device: torch.device, most_rows: int) -> int:
    """Rows of the largest eager bf16 step that does not run out of memory, by doubling from one example."""
    fitting, rows = 0, views
    while rows <= most_rows:
        try:
            made(case, route, EAGER, views, device).step(_on(device, case.inputs(rows)))
        except torch.OutOfMemoryError:
            break
        fitting, rows = rows, 2 * rows
        _empty()
    _empty()
    if not fitting:
        raise RuntimeError(f"{route.name}: not even {views} rows of {case.name} fit on {device}.")
    return fitting


def made(case: Case, route: type[Route], compute: Compute, views: int, device: torch.device) -> Route:
    """The route on `device` as `compute` says."""
    network = case.network().to(device)
    compute.place(network, device)
    loss = computed_loss(row_losses, network, compute, device)
    return route(network, views=views, clip_norm=CLIP_NORM, loss=loss)


def _measured(
    case: Case,
    contest: Sequence[tuple[type[Route], str, Compute]],
    views: int,
    rows: int,
    device: torch.device,
    repeats: int,
) -> list[OnDevice]:
    inputs = _on(device, case.inputs(rows))
    routes = {(route.name, name): made(case, route, compute, views, device) for route, name, compute in contest}
    steps = {key: partial(one.step, inputs) for key, one in routes.items()}
    seconds = take_turns({str(key): step for key, step in steps.items()}, repeats, device_seconds)
    parameters = sum(p.numel() for p in case.network().parameters())
    return [
        OnDevice(
            case=case.name,
            views=views,
            route=key[0],
            setting=key[1],
            rows=rows,
            parameters=parameters,
            seconds=seconds[str(key)].best,
            rows_per_second=rows / seconds[str(key)].best,
            ratio=float("nan"),
            mebibytes=_peak_mebibytes(step, device),
            memory_ratio=float("nan"),
        )
        for key, step in steps.items()
    ]


def _against(reference: OnDevice, one: OnDevice) -> OnDevice:
    if one.rows != reference.rows:
        return one
    return replace(one, ratio=one.seconds / reference.seconds, memory_ratio=one.mebibytes / reference.mebibytes)


def _on(device: torch.device, rows: Rows) -> Rows:
    images, levels, labels = (tensor.to(device) for tensor in rows)
    return images, levels, labels


def _peak_mebibytes(step: Callable[[], object], device: torch.device) -> float:
    """NaN on a CPU, whose memory `memory` measures."""
    if device.type != "cuda":
        return float("nan")
    _empty()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def _empty() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def device_name() -> str:
    """Of the card in use."""
    return torch.cuda.get_device_name()


def goals(found: Sequence[OnDevice]) -> Iterator[Goal]:
    """Our fastest setting against the compiled non-private step, and against the best that Opacus does."""
    for case, views in dict.fromkeys((one.case, one.views) for one in found):
        here = [one for one in found if (one.case, one.views) == (case, views)]
        ours, where = min((o for o in here if o.route == Ours.name), key=lambda o: o.seconds), f"{case}, {views} views"
        yield Goal(f"time over non-private on the GPU: {where}", ours.ratio, HIGHEST_RATIO, at_least=False)
        memory = ours.memory_ratio
        yield Goal(f"memory over non-private on the GPU: {where}", memory, HIGHEST_MEMORY_RATIO, at_least=False)
        if theirs := [o.rows_per_second for o in here if o.route in (Hooks.name, Ghost.name)]:
            yield Goal(
                f"rows per second over Opacus' best: {where}", ours.rows_per_second / max(theirs), 1.0, at_least=True
            )
