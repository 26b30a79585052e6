"""The installed libraries: torch and its device, a torchvision that does not fit it, dependencies and extras."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement

from dpgen.cli.doctor.finding import Finding, State, judged

DISTRIBUTION = "dpgen"
_DRIVER = Path("/proc/driver/nvidia/version")
_FOR_DEVELOPERS = ("oracle", "test", "lint", "docs")
"""Extras that nobody needs who only runs dpgen: one that is missing is no news."""


def torch_build() -> Finding:
    """Does torch import and compute? Its version, and the CUDA or ROCm that it was built for."""
    expected = "a torch that imports and computes"
    try:
        import torch

        right = bool(torch.ones(3).sum() == 3)
        platform = torch.version.cuda and f"CUDA {torch.version.cuda}"
        platform = platform or (torch.version.hip and f"ROCm {torch.version.hip}") or "CPU only"
        found = f"torch {torch.__version__}, {platform}"
    except Exception as error:
        right, found = False, f"{type(error).__name__} on import"
    mend = "Reinstall it: `pip install --force-reinstall 'torch>=2.6,<3'`."
    return judged("torch", good=right, expected=expected, found=found, mend=mend)


def device() -> Finding:
    """Where `compute.device = "auto"` computes; a CUDA device is made to compute."""
    import torch

    expected = "a CUDA device, or a machine without one"
    if torch.cuda.is_available():
        try:
            right = bool(torch.ones(3, device="cuda").sum() == 3)
        except RuntimeError:
            right = False
        mend = 'See `nvidia-smi`; until the device works set compute.device = "cpu".'
        name = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
        found = name if right else f"{name}, which does not compute"
        return judged("device", good=right, expected=expected, found=found, mend=mend)
    if _DRIVER.exists() or shutil.which("nvidia-smi"):
        found = "an NVIDIA driver, but a torch that finds no CUDA device: runs use the CPU"
        mend = "Install a torch built for CUDA, see https://pytorch.org/get-started."
        return Finding("device", State.NOTE, expected, found, mend)
    found = f"the CPU alone, {torch.get_num_threads()} threads"
    return Finding("device", State.OK, expected, found)


def torchvision() -> Finding:
    """A torchvision of another torch fails on import, and takes Opacus, diffusers and many plugins with it."""
    expected = "none (dpgen needs none), or one that imports"
    if find_spec("torchvision") is None:
        return Finding("torchvision", State.OK, expected, "none")
    mend = "Install the one that belongs to your torch: `pip install --force-reinstall torch torchvision`."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = f"torchvision {import_module('torchvision').__version__}"
    except Exception as error:
        said = " ".join(str(error).split())[:80]
        return Finding("torchvision", State.BROKEN, expected, f"{type(error).__name__} on import: {said}", mend)
    return Finding("torchvision", State.OK, expected, found)


def libraries() -> Iterator[Finding]:
    """The libraries that dpgen declares, then each of its extras."""
    needed, extras = _declared()
    lacking = [line for line in map(_lack, needed) if line]
    yield judged(
        "dependencies",
        good=not lacking,
        expected="each library that dpgen declares, in its range",
        found=", ".join(lacking) or f"all {len(needed)}",
        mend="Run `pip install --upgrade dpgen` in this environment.",
    )
    for extra, requirements in extras.items():
        yield _extra(extra, requirements)


def _extra(extra: str, requirements: list[Requirement]) -> Finding:
    lacking = ", ".join(line for line in map(_lack, requirements) if line)
    name, expected = f"extra {extra}", ", ".join(map(str, requirements))
    if lacking and extra in _FOR_DEVELOPERS:
        return Finding(name, State.OK, expected, "absent; only needed to work on dpgen itself")
    mend = f"If you need it: `pip install 'dpgen[{extra}]'`."
    return judged(
        name, good=not lacking, expected=expected, found=lacking or "present", mend=mend, otherwise=State.NOTE
    )


def _declared() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """What dpgen always needs, and what each extra adds; their markers are taken off."""
    needed: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {}
    for requirement in map(Requirement, metadata.requires(DISTRIBUTION) or ()):
        marker, requirement.marker = requirement.marker, None
        of = [name for name in metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or () if _is_of(marker, name)]
        if marker is None or marker.evaluate({"extra": ""}):
            needed.append(requirement)
        for extra in of if requirement not in needed else ():
            extras.setdefault(extra, []).append(requirement)
    return needed, extras


def _is_of(marker: Marker | None, extra: str) -> bool:
    return marker is not None and marker.evaluate({"extra": extra})


def _lack(requirement: Requirement) -> str:
    """What is wrong with the installed distribution; empty where nothing is."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} {version} (needs {requirement.specifier})"
