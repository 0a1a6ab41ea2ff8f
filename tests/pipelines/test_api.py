"""The public names, whatever was imported before them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pipelines

NAMES = sorted(pipelines.__all__)


def test_public_names_are_these() -> None:
    assert NAMES == [
        "Recipe", "Run", "audit", "evaluate", "export", "find_rate", "open_source", "predict",
        "pretrain", "preview", "train", "tune",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_no_module(name: str) -> None:
    assert callable(getattr(pipelines, name))
    # Also once the module of that name is loaded, by its full path.
    if name.islower() and name != "open_source":
        module = __import__(f"pipelines.{name}", fromlist=[name])
        assert getattr(pipelines, name) is getattr(module, name)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        pipelines.trian  # noqa: B018


def test_command_line_loads_nothing_heavy() -> None:
    code = (
        "import sys, pipelines.cli\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'pydantic', 'sklearn', 'matplotlib'}\n"
        "print(*heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
