"""The command line starts without the heavy libraries."""

from __future__ import annotations

import subprocess
import sys


def test_command_line_loads_nothing_heavy() -> None:
    code = (
        "import sys, pipelines.cli.main\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'pydantic', 'sklearn', 'matplotlib'}\n"
        "print(*heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
