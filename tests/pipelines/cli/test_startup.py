"""What the command line imports before it answers."""

from __future__ import annotations

import subprocess
import sys


def _imported_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_program_imports_nothing_heavy() -> None:
    heavy = {"tensorflow", "keras", "numpy", "pydantic", "sklearn", "matplotlib", "rich"}
    code = "from pipelines.cli.main import run_command\nrun_command(['--help'])"
    assert not heavy & _imported_after("import pipelines.cli.main")
    assert not heavy & _imported_after(code)


def test_list_imports_no_numpy() -> None:
    # Typer reads a command's arguments by pydantic.
    code = "from pipelines.cli.main import run_command\nrun_command(['list', 'backbones'])"
    assert not {"tensorflow", "keras", "numpy", "matplotlib"} & _imported_after(code)
