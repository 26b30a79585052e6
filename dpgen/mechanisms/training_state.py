"""The state of a training run between steps: weights, their moving average, the optimizer; saved and continued."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from dpgen.errors import ResumeError
from dpgen.mechanisms.checkpoints import Checkpoint, Checkpoints

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@final
class TrainingState:
    """What one step hands to the next. It is kept and released, so give it noised or public gradients only."""

    def __init__(self, module: nn.Module, make_optimizer: MakeOptimizer) -> None:
        self.module = module
        self.step = 0
        self.trainable = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.ema = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
        self._optimizer = make_optimizer(self.trainable.values())
        self._rates: list[float] = [float(group["lr"]) for group in self._optimizer.param_groups]

    def descend(self, gradient: Mapping[str, Tensor], *, rate_factor: float) -> None:
        """One optimizer step along `gradient` at `rate_factor` times the optimizer's own learning rate."""
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * rate_factor
        for name, parameter in self.trainable.items():
            parameter.grad = gradient[name].to(parameter)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def average(self, *, decay: float) -> None:
        """Move the average towards the weights, faster in the first steps, and count the step."""
        decay = min(decay, (1 + self.step) / (10 + self.step))  # warm-up as in TensorFlow's moving average
        for name, tensor in self.module.state_dict().items():
            if tensor.is_floating_point():
                self.ema[name].lerp_(tensor, 1 - decay)
            else:
                self.ema[name].copy_(tensor)
        self.step += 1

    def weights(self) -> dict[str, Tensor]:
        """A copy of the module's state."""
        return {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}

    def save(
        self,
        checkpoints: Checkpoints,
        name: str,
        identity: Mapping[str, Any],
        *,
        beside: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Replace the checkpoint `name`; `identity` says whose it is, `beside` what else belongs to the same step."""
        tensors = {f"weights/{key}": t for key, t in self.module.state_dict().items()}
        tensors |= {f"ema/{key}": t for key, t in self.ema.items()}
        tensors |= {f"beside/{key}": t for key, t in (beside or {}).items()}
        numbers: dict[str, Any] = {}
        for index, entries in self._optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{index}/{key}"] = value
                else:
                    numbers[f"{index}/{key}"] = value
        checkpoints.save(name, tensors, {"step": self.step, "optimizer": numbers, "identity": dict(identity)})

    def continue_from(
        self, checkpoints: Checkpoints, name: str, identity: Mapping[str, Any]
    ) -> dict[str, Tensor] | None:
        """Take over the checkpoint `name` if there is one, and return what was saved beside; None where there is none.

        Raises: `ResumeError` when it belongs to other settings or to another release.
        """
        saved = checkpoints.load(name)
        if saved is None:
            return None
        other = sorted(key for key in identity if saved.facts["identity"].get(key) != identity[key])
        if other:
            raise ResumeError(
                f"checkpoint {name!r} must belong to this release; found other {', '.join(other)}. "
                "Continue with the same settings, or give each DpSgd of a run its own `phase`."
            )
        self.module.load_state_dict(_below("weights", saved))
        for key, tensor in _below("ema", saved).items():
            self.ema[key].copy_(tensor)
        self._load_optimizer(saved)
        self.step = int(saved.facts["step"])
        return _below("beside", saved)

    def _load_optimizer(self, saved: Checkpoint) -> None:
        entries: dict[int, dict[str, Any]] = {}
        for path, value in (_below("optimizer", saved) | saved.facts["optimizer"]).items():
            index, key = path.split("/", 1)
            entries.setdefault(int(index), {})[key] = value
        groups = self._optimizer.state_dict()["param_groups"]  # settings, not state: they come from the caller
        self._optimizer.load_state_dict({"state": entries, "param_groups": groups})


def _below(prefix: str, saved: Checkpoint) -> dict[str, Any]:
    start = f"{prefix}/"
    return {key.removeprefix(start): tensor for key, tensor in saved.tensors.items() if key.startswith(start)}
