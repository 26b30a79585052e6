"""A proved Lipschitz constant of a frozen network, and the walk that finds it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize

from dpgen.errors import InvalidValue, SensitivityError
from dpgen.mechanisms.lipschitz.growth import IDENTITY, Growth, added, side_by_side
from dpgen.mechanisms.lipschitz.layers import Concatenation, Residual
from dpgen.mechanisms.lipschitz.norms import MARGIN
from dpgen.mechanisms.lipschitz.rules import RULES, Size

METHOD: Final = "composition of layer bounds; Gram iteration, convolutions on the torus of their frequencies"


@dataclass(frozen=True, slots=True)
class LipschitzCertificate:
    """|f(x) - f(y)| <= `bound` |x - y| in L2, for inputs of `input_shape`; void once the network is another one.

    `bound` holds in real arithmetic; `float_margin` is the relative margin in it, which covers the rounding of its own
    computation. How far the network, computed in float64, strays from f is `growth.error(radius)`.
    """

    bound: float
    method: str
    input_shape: Size
    weights_sha256: str
    float_margin: float
    growth: Growth

    def require_valid(self, module: nn.Module) -> None:
        """Raises: `SensitivityError` unless `module` still is the network that was certified, and does nothing else."""
        for name, part in module.named_modules():
            _refuse_what_hides(part, name)  # hooks and active dropout came later, if there are any
        if network_digest(module) != self.weights_sha256:
            raise SensitivityError(
                "a certificate holds for the network it was computed for; found other weights or other layers. "
                "Certify the network anew, after its last change."
            )


def certify(module: nn.Module, input_shape: Size) -> LipschitzCertificate:
    """An upper bound on the Lipschitz constant of `module` on inputs of `input_shape` (without the batch axis).

    Privacy: none is spent; a certificate of released weights is post-processing.
    Args: `module` built of `nn.Sequential`, `Residual`, `Concatenation` and the layers of `rules.RULES`, each map of a
    row alone. It is copied to float64 on the CPU, in evaluation mode only if it is in it.
    Raises: `SensitivityError` for a part that has no bound, saying which and why; `InvalidValue` for a shape.
    """
    shape = tuple(input_shape)
    if not shape or any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in shape):
        raise InvalidValue(f"input_shape must hold whole numbers >= 1, without the batch axis; found {shape!r}.")
    with torch.no_grad():
        exact = copy.deepcopy(module).to("cpu", torch.float64)
        growth, _ = _grown(exact, "", torch.zeros(1, *shape, dtype=torch.float64))
    # once more for the products above, each rounded
    growth = replace(growth, lipschitz=growth.lipschitz * (1 + MARGIN), offset=growth.offset * (1 + MARGIN))
    return LipschitzCertificate(growth.lipschitz, METHOD, shape, network_digest(module), MARGIN, growth)


def network_digest(module: nn.Module) -> str:
    """SHA-256, in hex, of what the layers are, with all their settings, and of all their weights and buffers."""
    digest = hashlib.sha256(repr(module).encode())
    for name, part in module.named_modules(remove_duplicate=False):
        digest.update(f"{name} {type(part).__qualname__} {_settings(part)};".encode())
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)};".encode())
        digest.update(values.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _grown(module: nn.Module, name: str, zeros: Tensor) -> tuple[Growth, Tensor]:
    """The bounds of `module` on inputs like `zeros`, and zeros like its outputs."""
    _refuse_what_hides(module, name)
    if type(module) is nn.Sequential:
        growth = IDENTITY
        for key, layer in module._modules.items():  # named_children() gives a layer that comes twice only once
            assert layer is not None, "nn.Sequential calls every entry"
            one, zeros = _grown(layer, f"{name}.{key}".strip("."), zeros)
            growth = growth.then(one)
        return growth, zeros
    if type(module) is Residual:
        inner, out = _grown(module.inner, f"{name}.inner".strip("."), zeros)
        if out.shape != zeros.shape:
            raise SensitivityError(f"{_named(module, name)} must keep the shape of its input; found another one.")
        return added(IDENTITY, inner), zeros
    if type(module) is Concatenation:
        grown = [_grown(branch, f"{name}.{at}".strip("."), zeros) for at, branch in enumerate(module.branches)]
        return side_by_side(growth for growth, _ in grown), torch.cat([out for _, out in grown], dim=1)
    return _leaf(module, name, zeros)


def _leaf(module: nn.Module, name: str, zeros: Tensor) -> tuple[Growth, Tensor]:
    rule = RULES.get(type(module))
    if rule is None:
        raise SensitivityError(f"{_named(module, name)} has no proved Lipschitz bound: {_why(module)}.")
    try:
        out: Tensor = module(zeros)
    except (RuntimeError, ValueError) as error:
        raise InvalidValue(
            f"{_named(module, name)} must take what comes before it; found inputs {list(zeros.shape[1:])}. Certify for "
            "the shape of one input, and check the layers before."
        ) from error
    if module(zeros.repeat(2, *[1] * (zeros.ndim - 1))).shape != (2, *out.shape[1:]) or not out.isfinite().all():
        raise SensitivityError(f"{_named(module, name)} must map each row to finite numbers of its own; it does not.")
    growth = rule(module, tuple(zeros.shape[1:]), tuple(out.shape[1:]))
    offset = float(torch.linalg.vector_norm(out)) * (1 + MARGIN)  # |f(0)|, found by computing it
    return replace(growth, offset=offset), torch.zeros_like(out)


def _refuse_what_hides(module: nn.Module, name: str) -> None:
    if parametrize.is_parametrized(module) or any(key.endswith(("_orig", "_v", "_u")) for key in _own(module)):
        raise SensitivityError(
            f"{_named(module, name)} has a parametrised weight. torch's spectral_norm divides by a power iteration, "
            "which approaches the norm from below and, for a convolution, is not its norm. Remove the parametrisation, "
            "then certify the weight that remains."
        )
    if getattr(module, "inplace", False) or (isinstance(module, nn.Dropout) and module.training):
        mend = "Set inplace=False, and call module.eval()"
        raise SensitivityError(f"{_named(module, name)} must leave its input alone and draw nothing. {mend}.")
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
        raise SensitivityError(f"{_named(module, name)} has a hook or a replaced forward: what it does is not known.")


def _settings(module: nn.Module) -> list[tuple[str, object]]:
    """What `repr` may leave out, as that of a pooling does. The mode is no setting: where it matters it is refused."""
    plain = (bool, int, float, str, tuple, type(None))
    own = sorted(vars(module).items())
    return [(key, value) for key, value in own if isinstance(value, plain) and key[0] != "_" and key != "training"]


def _own(module: nn.Module) -> Iterator[str]:
    yield from module._parameters
    yield from module._buffers


def _named(module: nn.Module, name: str) -> str:
    return f"{name or 'the module itself'} ({type(module).__name__})"


def _why(module: nn.Module) -> str:
    if isinstance(module, _NormBase) and not isinstance(module, nn.InstanceNorm1d | nn.InstanceNorm2d):
        return "batch statistics belong to other records. Fold public ones into the layer before, or use Centre"
    if isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)):
        return "dividing by a row's own deviation stretches by 1 / sqrt(eps), 316 by default. Use Centre or Scale"
    if isinstance(module, nn.MultiheadAttention):
        return "dot-product attention is not Lipschitz (Kim, Papamakarios, Mnih 2021). Use convolutions"
    return "it is none of the layers in dpgen.mechanisms.lipschitz.rules.RULES. Build from those, or clip the code"
