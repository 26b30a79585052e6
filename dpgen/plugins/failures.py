"""Turn what a plugin raised into an error that says which plugin, why, and what to type to mend it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dpgen.errors import PluginLoadError

_REQUIREMENT = re.compile(r"^\s*(?P<name>[A-Za-z0-9._-]+)[^;]*?(?:;.*?extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"].*)?$")


def load_error(
    plugin: str, doing: str, error: Exception, *, distribution: str = "", requires: Sequence[str] = ()
) -> PluginLoadError:
    """The `PluginLoadError` for `error`, raised by `plugin` while `doing`.

    Args: `distribution` is the installed package of the plugin ("" when it has none), `requires` what that package
    declares that it needs; with them a missing module is mended by the pip line that brings the declared version.
    """
    if isinstance(error, ModuleNotFoundError) and error.name:
        mend = _install_line(error.name, distribution, requires)
        refused = PluginLoadError(plugin, f"{doing} needs the module {error.name!r}, which is not installed", mend)
    else:
        said = " ".join(str(error).split()) or "no message"
        home = distribution or "the plugin"
        mend = f"Update {home}, report this to its authors, or leave it out with DPGEN_PLUGINS."
        refused = PluginLoadError(plugin, f"{doing} raised {type(error).__name__}: {said}", mend)
    refused.__cause__ = error
    return refused


def _install_line(missing: str, distribution: str, requires: Sequence[str]) -> str:
    module, is_submodule, _ = missing.partition(".")
    if is_submodule:  # the package is there, but too old or too new for the plugin
        return f"Run `pip install --upgrade {module}`."
    for requirement in requires:
        match = _REQUIREMENT.match(requirement)
        if match and _normalized(match["name"]) == _normalized(module):
            extra = match["extra"]
            wanted = f"{distribution}[{extra}]" if extra else requirement.partition(";")[0].strip()
            return f"Run `pip install '{wanted}'`."
    again = f", or `pip install --force-reinstall {distribution}`" if distribution else ""
    return f"Run `pip install {module}`{again}."


def _normalized(name: str) -> str:
    """One spelling for the names that pip treats as equal (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
