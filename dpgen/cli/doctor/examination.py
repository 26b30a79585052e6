"""All that the doctor looks at, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dpgen.cli.doctor import installed, machine, self_tests
from dpgen.cli.doctor.finding import Finding, State

if TYPE_CHECKING:
    from dpgen.plugins.registry import Registry


def examine(run_folder: Path, registry: Registry) -> Iterator[Finding]:
    """Each finding as it is made; nothing is left behind on the disk. Where torch is broken, what needs it is left out.

    Args: `run_folder` where a run would write; it need not exist.
    """
    build = installed.torch_build()
    yield build
    if build.state is State.OK:
        yield installed.device()
    yield installed.torchvision()
    yield from installed.libraries()
    yield machine.entropy()
    yield machine.writable("run folder", run_folder)
    yield machine.writable("current folder", Path.cwd())
    yield machine.disk(run_folder)
    if build.state is State.OK:
        yield machine.memory()
    yield from self_tests.accountants(registry)
    yield from self_tests.noise()
    yield from _plugins(registry)


def _plugins(registry: Registry) -> Iterator[Finding]:
    """Each plugin; what is wrong with a broken one, and the mend, are in the words of its error."""
    for status in registry.status():
        expected = "a plugin that loads and keeps its contracts"
        brings = ", ".join(name for names in status.registered.values() for name in names) or "observes runs"
        state = State.OK if status.ok else State.BROKEN
        mend = "" if status.ok else "Do what its message says, or leave it out with DPGEN_PLUGINS."
        yield Finding(f"plugin {status.name}", state, expected, brings if status.ok else status.state, mend)
