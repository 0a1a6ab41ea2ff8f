"""The command line in tests: as a program, and where it has to fail."""

from __future__ import annotations

import sys

import pytest

from pipelines.cli.main import run_command

ZOO = [sys.executable, "-c", "from pipelines.cli.main import main; main()"]


def fails(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Runs a command that must exit with 2; returns its one line."""
    assert run_command(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]
