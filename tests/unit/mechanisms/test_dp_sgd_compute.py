"""Precision, memory format and compilation of the gradients: equal to rounding, and never above the clip norm."""

from __future__ import annotations

import copy
import itertools
import logging
import math
import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.utils import counters
from torch._functorch.aot_autograd import make_boxed_func

from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.errors import InvalidValue, PrivacyError, SensitivityError
from dpgen.mechanisms import Compute, RunContext
from dpgen.mechanisms.dp_sgd import (
    ClippedSum,
    CompiledLoss,
    DpSgd,
    RowLoss,
    clipped_gradient_sum,
    computed_loss,
    leaves,
    patches,
)
from dpgen.networks.unet import UNet
from dpgen.noise import RowRandom, SeededNoise

# torch's own tracer makes an instance of each autograd function that it meets, and torch warns of that.
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")

CPU = torch.device("cpu")
CLIP = 0.1
MODES = [
    Compute(precision=precision, channels_last=channels_last)
    for precision, channels_last in itertools.product(("float32", "bfloat16"), (False, True))
]


class Classifier(nn.Module):
    """A weight used by two layers, one layer used twice, a frozen layer, and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)
        self.table = nn.Embedding(5, 4)
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(4, 5)
        self.twin = nn.Linear(4, 5, bias=False)
        self.twin.weight = self.head.weight
        self.frozen = nn.Linear(5, 5).requires_grad_(False)

    def forward(self, images: Tensor, words: Tensor) -> Tensor:
        hidden = F.silu(self.norm(self.conv(images))).mean((2, 3)) + self.table(words)
        hidden = hidden + F.silu(self.body(F.silu(self.body(hidden))))
        return self.frozen(self.head(hidden) + self.twin(2 * hidden))


def loss(module: nn.Module, images: Tensor, words: Tensor) -> Tensor:
    return F.cross_entropy(module(images, words), words, reduction="none")


def inputs(rows: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    return torch.randn(rows, 3, 6, 6, dtype=dtype), torch.randint(0, 5, (rows,))


def gap(first: ClippedSum, second: ClippedSum) -> tuple[float, float]:
    """The largest relative difference of norms, and the relative difference of the sums."""
    assert list(first.sum) == list(second.sum)
    norms = ((first.norms - second.norms) / second.norms).abs().max()
    apart = sum(float((first.sum[n] - second.sum[n]).double().square().sum()) for n in second.sum)
    return float(norms), math.sqrt(apart / sum(float(t.double().square().sum()) for t in second.sum.values()))


def length(found: ClippedSum) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in found.sum.values()))


@pytest.fixture
def traced_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A second trace of any function is an error; without one there is exactly one graph."""
    torch._dynamo.reset()
    counters.clear()
    with torch._dynamo.config.patch(error_on_recompile=True):
        yield
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("wrong", [{"precision": "float16"}, {"channels_last": "yes"}, {"compile": 1}])
def test_other_settings_are_refused_by_name(wrong):
    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        Compute(**wrong)


def test_nothing_is_chosen_unasked_but_the_memory_format_of_bfloat16_on_cuda():
    assert Compute() == Compute(precision="float32", channels_last="auto", compile=False)
    cuda = torch.device("cuda")
    assert Compute(precision="bfloat16").is_channels_last(cuda)
    assert not Compute().is_channels_last(cuda)
    assert not Compute(precision="bfloat16").is_channels_last(CPU)
    assert Compute(channels_last=True).is_channels_last(CPU)
    assert not Compute(precision="bfloat16", channels_last=False).is_channels_last(cuda)
    module = Classifier()
    assert computed_loss(loss, module, Compute(), CPU) is loss
    assert Compute(compile=True).eager == Compute()


@pytest.mark.parametrize(
    ("dtype", "norm_error", "sum_error"), [(torch.float32, 2e-6, 5e-6), (torch.float64, 1e-12, 1e-12)]
)
@pytest.mark.usefixtures("traced_once")
def test_compiled_equals_eager_and_is_traced_once_for_all_steps(dtype, norm_error, sum_error):
    torch.manual_seed(0)
    module = Classifier().to(dtype)
    compiled = CompiledLoss(loss, module, backend="aot_eager")
    for kept in ([1, 0, 1], [1, 1, 1], [0, 1, 0]):
        rows, mask = inputs(6, dtype), torch.tensor(kept) > 0
        eager, found = (
            clipped_gradient_sum(module, f, rows, views=2, clip_norm=CLIP, mask=mask) for f in (loss, compiled)
        )
        assert (eager.norms > CLIP).any(), "the test must clip something"
        assert all(t.dtype == dtype for t in found.sum.values())
        norms, sums = gap(found, eager)
        assert norms <= norm_error
        assert sums <= sum_error
        with torch.no_grad():  # as an optimizer changes them: in place
            for p in module.parameters():
                p.sub_(0.1 * torch.randn_like(p))
    assert compiled.given_up is None


def test_stand_ins_made_anew_for_each_pass_would_be_traced_anew(monkeypatch):
    """The broken twin of the test above: this is what the store of stand-ins is for."""

    class Forgetful(dict[nn.Module, object]):
        def setdefault(self, key, default):
            self[key] = default
            return default

    monkeypatch.setattr(patches, "_STAND_INS", Forgetful())
    module = Classifier()
    compiled = CompiledLoss(loss, module, backend="eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        clipped_gradient_sum(module, compiled, inputs(4), views=2, clip_norm=CLIP)
        assert compiled.given_up is None
        clipped_gradient_sum(module, compiled, inputs(4), views=2, clip_norm=CLIP)
    assert "RecompileError" in compiled.given_up


def replayed_and_compiled() -> tuple[float, float]:
    """The gap between eager and compiled for weights that outweigh their activations: eager, a probe finds them."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 3))
    compiled = CompiledLoss(classify, module, backend="aot_eager")
    rows = (torch.randn(6, 4), torch.randint(0, 3, (6,)))
    eager, found = (clipped_gradient_sum(module, f, rows, views=1, clip_norm=CLIP) for f in (classify, compiled))
    assert compiled.given_up is None
    return gap(found, eager)


def test_what_is_replayed_in_eager_mode_is_not_lost_in_a_compiled_one():
    norms, sums = replayed_and_compiled()
    assert norms <= 2e-6
    assert sums <= 5e-6


def test_a_probe_inside_a_compiled_loss_would_lose_gradients(monkeypatch):
    """The broken twin of the test above: without a word, most of each gradient would be missing from its norm."""
    monkeypatch.setattr(leaves, "worth_replaying", lambda weights, activations, positions: weights > activations)
    norms, _ = replayed_and_compiled()
    assert norms > 0.5


def classify(module: nn.Module, rows: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(module(rows), labels, reduction="none")


def test_each_loss_has_its_own_programs():
    """Else the ninth mechanism of a process would find torch's limit of programs for one function used up."""
    for seed in range(torch._dynamo.config.recompile_limit + 2):
        torch.manual_seed(seed)
        module = nn.Linear(2, 3)
        compiled = CompiledLoss(classify, module, backend="eager")
        clipped_gradient_sum(module, compiled, (torch.randn(2, 2), torch.tensor([0, 1])), views=1, clip_norm=CLIP)
        assert compiled.given_up is None


def used_past_its_layer(module: nn.Module, rows: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(module(rows) + rows @ module.weight.T, labels, reduction="none")


def learnt_by_a_buffer(module: nn.Module, rows: Tensor, labels: Tensor) -> Tensor:
    module.seen.add_(rows.mean())
    return classify(module, rows, labels)


def rows_merged(module: nn.Module, rows: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(module(rows.view(-1, 2, 2)).mean(1).repeat(2, 1), labels, reduction="none")


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (used_past_its_layer, PrivacyError, "used only by its own layer; found weight"),
        (learnt_by_a_buffer, PrivacyError, "buffers must not learn"),
        (rows_merged, SensitivityError, "must stay the row"),
    ],
)
def test_compiled_code_is_refused_what_eager_code_is(wrong, error, message):
    module = nn.Linear(2, 3)
    module.register_buffer("seen", torch.zeros(()))
    for refused in (wrong, CompiledLoss(wrong, module, backend="aot_eager")):
        with pytest.raises(error, match=message):
            clipped_gradient_sum(module, refused, (torch.randn(4, 2), torch.arange(4) % 3), views=1, clip_norm=CLIP)


class Gated(nn.Module):
    """A bare parameter: it has no rule."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.ones(2))
        self.head = nn.Linear(2, 3)

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(rows * self.gate)


def breaking(module: nn.Module, rows: Tensor, labels: Tensor) -> Tensor:
    torch._dynamo.graph_break()
    return classify(module, rows, labels)


@pytest.mark.parametrize(
    ("make", "function", "reason"),
    [
        (lambda: nn.Sequential(Gated()), classify, r"0 \(Gated\)"),
        (Gated, classify, r"the module itself \(Gated\)"),
        (lambda: nn.Linear(2, 3), breaking, "Unsupported while compiling"),
    ],
)
def test_what_cannot_be_compiled_is_computed_without_and_the_log_says_why(make, function, reason, caplog):
    torch.manual_seed(0)
    module, rows = make(), (torch.randn(4, 2), torch.arange(4) % 3)
    eager = clipped_gradient_sum(module, classify, rows, views=2, clip_norm=CLIP)
    with caplog.at_level(logging.WARNING, "dpgen.mechanisms"):
        compiled = CompiledLoss(function, module, backend="eager")
        found = [clipped_gradient_sum(module, compiled, rows, views=2, clip_norm=CLIP) for _ in range(2)]
    assert all(gap(each, eager) == (0, 0) for each in found)
    (record,) = caplog.records
    assert record.getMessage().startswith("a loss is computed without torch.compile: ")
    assert re.search(reason, record.getMessage())


def test_a_backward_pass_that_cannot_be_compiled_is_computed_without():
    def compiler(graph, examples):
        if len(compiled_so_far):
            raise RuntimeError("no C++ compiler, say")
        compiled_so_far.append(graph)
        return make_boxed_func(graph.forward)

    compiled_so_far: list[object] = []
    torch.manual_seed(0)
    module, rows = nn.Linear(2, 3), (torch.randn(4, 2), torch.arange(4) % 3)
    compiled = CompiledLoss(classify, module, backend=aot_autograd(fw_compiler=compiler))
    eager, found = (clipped_gradient_sum(module, f, rows, views=2, clip_norm=CLIP) for f in (classify, compiled))
    assert len(compiled_so_far) == 1
    assert compiled.given_up is not None
    assert gap(found, eager) == (0, 0)


@pytest.mark.parametrize("channels", [1, 2])
def test_channels_last_equals_contiguous(channels):
    torch.manual_seed(0)
    module = unet(channels)
    rows = unet_inputs(8, channels)
    expected = clipped_gradient_sum(module, unet_loss, rows, views=4, clip_norm=CLIP)
    last = Compute(channels_last=True)
    module = last.place(copy.deepcopy(module), CPU)
    formats: list[bool] = []
    hook = module.stem.register_forward_hook(
        lambda layer, given, made: formats.append(made.is_contiguous(memory_format=torch.channels_last))
    )
    found = clipped_gradient_sum(module, computed_loss(unet_loss, module, last, CPU), rows, views=4, clip_norm=CLIP)
    hook.remove()
    norms, sums = gap(found, expected)
    assert formats == [True], "the format asked for is the one computed in"
    assert norms <= 2e-6
    assert sums <= 5e-6


def unet(channels: int) -> UNet:
    network = UNet(channels=channels, classes=3, base=8, attention=(1,))
    with torch.no_grad():  # a fresh network starts as a no-op, which would hide most gradients
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def unet_loss(module: nn.Module, images: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
    return (module(images, levels, labels) - images).square().flatten(1).mean(1)


def unet_inputs(rows: int, channels: int) -> tuple[Tensor, ...]:
    return torch.randn(rows, channels, 8, 8), torch.randn(rows), torch.arange(rows) % 3


def scaled(factor: float) -> RowLoss:
    """Steep losses of many magnitudes: gradients from far below to far above the clip norm."""
    return lambda module, *rows: factor * loss(module, *rows)


def contributions(compute: Compute, view: Callable[[ClippedSum], ClippedSum] = lambda found: found) -> list[float]:
    """Lengths of the contribution of one example alone, divided by the clip norm, in many hostile cases."""
    found = []
    for seed in range(24):
        torch.manual_seed(seed)
        module = compute.place(Classifier(), CPU)
        with torch.no_grad():
            for p in module.parameters():
                p.mul_(10 ** (seed % 4 - 1))
        clip_norm = 10.0 ** (seed % 7 - 5)
        steep = computed_loss(scaled(10.0 ** (seed % 5)), module, compute, CPU)
        rows = inputs(3)
        found.append(length(view(clipped_gradient_sum(module, steep, rows, views=3, clip_norm=clip_norm))) / clip_norm)
    return found


@pytest.fixture(params=["highest", "high", "medium"])
def matmul_precision(request) -> Iterator[str]:
    """Products in float32 by TF32 (CUDA) or bfloat16 kernels (CPUs that have them) where the flag allows."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("compute", MODES, ids=str)
def test_one_example_never_contributes_more_than_the_clip_norm(compute, matmul_precision):
    ratios = contributions(compute)
    assert max(ratios) <= 1 + 1e-6
    assert max(ratios) >= 1 - 1e-5, "some example must be clipped"
    assert torch.get_float32_matmul_precision() == matmul_precision


def test_a_sum_rounded_to_bfloat16_would_pass_the_clip_norm():
    """The broken twin of the test above."""

    def rounded(found: ClippedSum) -> ClippedSum:
        return ClippedSum({name: t.bfloat16() for name, t in found.sum.items()}, found.norms)

    assert max(contributions(Compute(precision="bfloat16"), rounded)) > 1 + 1e-6


def test_in_bfloat16_gradients_are_near_and_norms_sums_and_weights_stay_float32():
    torch.manual_seed(0)
    module, rows = unet(1), unet_inputs(8, 1)
    exact = clipped_gradient_sum(module, unet_loss, rows, views=4, clip_norm=CLIP)
    rounded = computed_loss(unet_loss, module, Compute(precision="bfloat16"), CPU)
    found = clipped_gradient_sum(module, rounded, rows, views=4, clip_norm=CLIP)
    norms, sums = gap(found, exact)
    assert 1e-5 < norms < 0.03, "computed in bfloat16, and only as wrong as its 8 bits"
    assert sums < 0.05
    assert {t.dtype for t in (found.norms, *found.sum.values(), *module.parameters())} == {torch.float32}


@pytest.mark.usefixtures("traced_once")
def test_a_compiled_loss_in_bfloat16_on_channels_last_images_equals_the_eager_one(monkeypatch):
    compute = Compute(precision="bfloat16", channels_last=True, compile=True)
    torch.manual_seed(0)
    module, rows = compute.place(Classifier(), CPU), inputs(6)
    monkeypatch.setattr(CompiledLoss.__init__, "__kwdefaults__", {"backend": "aot_eager"})
    found, eager = (
        clipped_gradient_sum(module, computed_loss(loss, module, c, CPU), rows, views=3, clip_norm=CLIP)
        for c in (compute, compute.eager)
    )
    norms, sums = gap(found, eager)
    assert norms <= 2e-6
    assert sums <= 5e-6


def rows_of(images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> tuple[Tensor, ...]:
    rows = images.repeat_interleave(views, 0)
    return rows + 0.1 * random.normal(*images.shape[1:]), labels.repeat_interleave(views)


def trained(compute: Compute) -> dict[str, Tensor]:
    torch.manual_seed(0)
    mechanism = DpSgd(
        module=Classifier(), inputs=rows_of, loss=loss, clip_norm=CLIP, noise_multiplier=1.0, views=2,
        sampling_probability=0.5, steps=3, nominal_records=20, optimizer=partial(torch.optim.SGD, lr=0.1),
    )  # fmt: skip
    images = torch.randint(0, 256, (20, 3, 6, 6), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    context, noise = RunContext(compute=compute, physical_batch=6), SeededNoise(3)
    data = ArrayRecords(images, torch.arange(20) % 5)
    return mechanism._measure(data, noise=noise, relation=ADD_OR_REMOVE_ONE, context=context).weights


@pytest.mark.parametrize(
    ("compute", "least", "most"),
    [
        (Compute(channels_last=True), 0.0, 1e-6),
        (Compute(precision="bfloat16"), 1e-7, 1e-3),
        (Compute(precision="bfloat16", channels_last=True, compile=True), 1e-7, 1e-3),
    ],
    ids=str,
)
def test_training_uses_the_settings_and_ends_where_it_would_without(compute, least, most, monkeypatch):
    monkeypatch.setattr(CompiledLoss.__init__, "__kwdefaults__", {"backend": "aot_eager"})
    expected, found = trained(Compute()), trained(compute)
    assert all(t.dtype == torch.float32 for t in found.values())
    gaps = [float((found[name] - expected[name]).abs().max()) for name in expected]
    assert least <= max(gaps) <= most


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's compiler about itself; made errors, they would end the compilation
@pytest.mark.parametrize("compute", [Compute(compile=True), Compute(compile=True, channels_last=True)], ids=str)
@pytest.mark.usefixtures("traced_once")
def test_the_compiled_u_net_equals_the_eager_one(compute):
    torch.manual_seed(0)
    module = compute.place(UNet(channels=1, classes=3, base=4, multipliers=(1,), attention=()), CPU)
    compiled = computed_loss(unet_loss, module, compute, CPU)
    eager = computed_loss(unet_loss, module, compute.eager, CPU)
    for _ in range(3):
        rows, mask = unet_inputs(12, 1), torch.tensor([1, 0, 1]) > 0
        with torch.no_grad():
            for p in module.parameters():
                p.add_(0.05 * torch.randn_like(p))
        expected, found = (
            clipped_gradient_sum(module, f, rows, views=4, clip_norm=CLIP, mask=mask) for f in (eager, compiled)
        )
        norms, sums = gap(found, expected)
        assert norms <= 2e-6
        assert sums <= 5e-6


def test_a_torch_without_the_switch_computes_uncompiled_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr("dpgen.mechanisms.dp_sgd.compiled._BACKWARD_AT_ONCE", "no_such_switch")
    module, rows = Classifier(), inputs(4, torch.float32)
    compiled = CompiledLoss(loss, module, backend="aot_eager")
    eager, found = (clipped_gradient_sum(module, f, rows, views=2, clip_norm=CLIP) for f in (loss, compiled))
    assert compiled.given_up is not None
    assert "without torch.compile" in caplog.text
    assert torch.equal(eager.norms, found.norms)
