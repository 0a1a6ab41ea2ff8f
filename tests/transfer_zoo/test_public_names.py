"""The public names: complete, lazy, and the same for Python and for type checkers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import transfer_zoo as tz
from pipelines.cli.tables import TABLES
from zoo.table import Table


def test_all_names_exist_and_nothing_else_does() -> None:
    assert sorted(tz.__all__) == dir(tz) == sorted(tz._LOCATIONS)
    for name in tz.__all__:
        value = getattr(tz, name)
        assert getattr(tz, name) is value
        assert value.__doc__
        if name in (*TABLES, "studies"):
            assert isinstance(value, Table)
        else:
            assert value.__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        tz.trian  # noqa: B018


def test_type_checkers_import_each_name_from_where_it_is_loaded() -> None:
    tree = ast.parse(Path(tz.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == tz._LOCATIONS


def test_table_answers_without_the_heavy_libraries() -> None:
    code = (
        "import sys, transfer_zoo as tz\n"
        "print(tz.backbones['resnet50'].num_features)\n"
        "assert not {'tensorflow', 'keras', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "2048\n"), done.stderr
