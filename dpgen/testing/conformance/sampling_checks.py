"""What a fitted generator must do when it is asked for images: as asked, from its state alone."""

from __future__ import annotations

from typing import Any, Final

import torch
from safetensors.torch import load, save
from torch import Tensor

from dpgen.data.datasets import PrivateDataset, SyntheticDataset
from dpgen.errors import InvalidValue
from dpgen.generators.base import Generator
from dpgen.mechanisms.base import Records
from dpgen.testing.conformance.check import Check, where
from dpgen.testing.conformance.contents import raw_image, walk
from dpgen.testing.conformance.data import TOY_INFO
from dpgen.testing.conformance.failure import CheckFailed, require
from dpgen.testing.conformance.trials import SAMPLES, GeneratorTrial

_ASKED: Final = torch.tensor([2, 0, 1, 1, 2, 0, 0])


def check_sampling_reads_nothing_private(trial: GeneratorTrial) -> None:
    """After the fit no record is looked at, and no handle on the records is kept."""
    mend = "Keep weights only: drop the data set, the mechanism and every loader at the end of `fit`."
    fitted, late = _fitted(trial), trial.recorded.records.late
    rule = "sampling must read no private record"
    require(late == 0, rule, found=f"{late} looks after the fit", mend=mend)
    handles = [path for path, item in walk(fitted) if isinstance(item, PrivateDataset | Records)]
    require(not handles, rule, found=f"a handle kept in {', '.join(handles[:3])}", mend=mend)


def check_keeps_no_raw_data_in_state(trial: GeneratorTrial) -> None:
    """No private image stands in the state, the released files or the samples."""
    _fitted(trial)
    place = raw_image(trial.recorded.release)
    require(
        place is None,
        "no private image may be in what is released",
        found=f"one in {place!r}",
        mend="Return from `state_dict` what a mechanism released, and nothing computed from records.",
    )


def check_shapes_range_labels(trial: GeneratorTrial) -> None:
    """Images have the declared shape and lie in [0, 1]; labels are declared classes, as many as images."""
    for count in (SAMPLES, 1):
        synthetic = _fitted(trial).sample(count, seed=0)
        problem = _problem(synthetic, count)
        require(
            problem is None,
            "a sample must hold what was asked for: float32 images in [0, 1], int64 labels of declared classes",
            found=problem or "",
            mend="End with `images.clamp(0, 1).float()`, and take shape and class names from `private.info`.",
        )


@where(lambda tags: tags.conditional)
def check_makes_the_labels_that_are_asked_for(trial: GeneratorTrial) -> None:
    """Labels come back as they were asked for, and the images depend on them."""
    fitted, rule = _fitted(trial), "a generator with the tag conditional must make the classes that are asked for"
    mend = "Hand `labels` on to the model, in their order; clear the tag `conditional` if there is no such model."
    labels = fitted.sample(SAMPLES, labels=_ASKED.clone(), seed=0).labels
    require(torch.equal(labels, _ASKED), rule, found="other labels than asked for", mend=mend)
    first, second = (fitted.sample(SAMPLES, labels=torch.full((SAMPLES,), k), seed=0).images for k in (0, 1))
    require(not torch.equal(first, second), rule, found="the same images for two classes", mend=mend)
    counts = torch.bincount(fitted.sample(9, seed=0).labels, minlength=TOY_INFO.classes)
    even = bool((counts == 3).all())
    require(even, "labels must be as even as possible by default", found="uneven ones", mend="Cycle through classes.")


@where(lambda tags: tags.conditional)
def check_refuses_labels_that_do_not_fit(trial: GeneratorTrial) -> None:
    """Labels of another length or of no declared class are refused."""
    fitted = _fitted(trial)
    for name, labels in (("too few labels", _ASKED[:3]), ("a label of no class", _ASKED + 1)):
        _refused(f"{name} must be refused", lambda labels=labels: fitted.sample(SAMPLES, labels=labels, seed=0))


def check_refuses_to_sample_before_fit(trial: GeneratorTrial) -> None:
    """A fresh generator has nothing to sample from, and says so."""
    fresh = trial.fresh()
    _refused("a sample before `fit` must be refused", lambda: fresh.sample(SAMPLES, seed=0))


def check_sampling_repeats_itself(trial: GeneratorTrial) -> None:
    """Equal seeds give equal images, however often and in whatever order; sampling changes no state."""
    fitted = _fitted(trial)
    before = {name: tensor.clone() for name, tensor in fitted.state_dict().items()}
    first = fitted.sample(SAMPLES, seed=3).images.clone()
    fitted.sample(SAMPLES, seed=4)
    mend = "Draw from `public_generator(seed, purpose)`, made anew in each call; keep nothing between calls."
    again = fitted.sample(SAMPLES, seed=3).images
    require(torch.equal(first, again), "equal seeds must give equal images", found="other images", mend=mend)
    same = _equal_states(before, fitted.state_dict())
    require(same, "sampling must change no state", found="another state afterwards", mend=mend)


def check_state_round_trip(trial: GeneratorTrial) -> None:
    """A fresh generator with the saved state samples the same images."""
    fitted, restored = _fitted(trial), trial.fresh()
    rule = "a fresh generator must sample the same images from the saved state"
    mend = "Return every tensor that `sample` needs from `state_dict`; set all of them in `load_state_dict`."
    try:
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in fitted.state_dict().items()}
        restored.load_state_dict(load(save(plain)), trial.task())
        images = [generator.sample(SAMPLES, seed=5).images for generator in (fitted, restored)]
    except Exception as error:
        raise CheckFailed(rule, found=f"{type(error).__name__}: {error}", mend=mend) from error
    require(torch.equal(*images), rule, found="other images", mend=mend)


def _fitted(trial: GeneratorTrial) -> Generator:
    trial.recorded.require_success()
    generator: Generator = trial.recorded.value
    return generator


def _problem(synthetic: SyntheticDataset, count: int) -> str | None:
    images, labels = synthetic.images, synthetic.labels
    if tuple(images.shape) != (count, *TOY_INFO.shape) or images.dtype != torch.float32:
        return f"{images.dtype} images of shape {list(images.shape)}"
    if not bool(images.isfinite().all()):
        return "images with NaN or infinity"
    if float(images.min()) < 0 or float(images.max()) > 1:
        return f"pixels from {float(images.min()):.3g} to {float(images.max()):.3g}"
    if labels.dtype != torch.int64 or tuple(labels.shape) != (count,):
        return f"{labels.dtype} labels of shape {list(labels.shape)}"
    if not bool(((labels >= 0) & (labels < TOY_INFO.classes)).all()):
        return "labels of no declared class"
    return None if tuple(synthetic.class_names) == TOY_INFO.class_names else f"classes {synthetic.class_names}"


def _refused(rule: str, ask: Any) -> None:
    mend = "Raise `InvalidValue` that says what was expected and what to do."
    try:
        ask()
    except InvalidValue:
        return
    except Exception as error:
        raise CheckFailed(rule + " by InvalidValue", found=type(error).__name__, mend=mend) from error
    raise CheckFailed(rule + " by InvalidValue", found="images", mend=mend)


def _equal_states(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


SAMPLING_CHECKS: Final[tuple[Check[GeneratorTrial], ...]] = (
    check_sampling_reads_nothing_private,
    check_keeps_no_raw_data_in_state,
    check_shapes_range_labels,
    check_makes_the_labels_that_are_asked_for,
    check_refuses_labels_that_do_not_fit,
    check_refuses_to_sample_before_fit,
    check_sampling_repeats_itself,
    check_state_round_trip,
)
