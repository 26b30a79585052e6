"""`import dpgen` is quick, and its public names are the same at run time and for type checkers."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import dpgen

STUB = Path(dpgen.__file__).with_suffix(".pyi")


def stub_names() -> dict[str, str]:
    """Public name -> the module that the stub imports it from."""
    imports = [node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_the_stub_lists_exactly_the_lazy_names() -> None:
    assert stub_names() == dpgen._HOMES


@pytest.mark.parametrize("name", sorted(stub_names()))
def test_each_public_name_is_what_its_home_defines(name: str) -> None:
    assert getattr(dpgen, name) is getattr(importlib.import_module(stub_names()[name]), name)
    assert name in dir(dpgen)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Synthesiser'"):
        _ = dpgen.Synthesiser  # type: ignore[attr-defined]


@pytest.mark.parametrize("used", ["dpgen", "dpgen.hookimpl", "dpgen.Budget", "dpgen.DpEvent"])
def test_using_it_loads_no_heavy_library_and_no_plugin(used: str) -> None:
    heavy = "{'torch', 'numpy', 'scipy', 'pydantic', 'dpgen.plugins.builtin', 'dpgen_plugins.diffusion'}"
    program = f"import sys, dpgen; {used}; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
