"""Progress bars: drawn on a terminal, plain lines in a pipe."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

JOB = """
import logging, sys, time
from pipelines.cli.progress_bars import draw_progress_bars
from pipelines.runtime.log import log_to_stderr
from zoo.progress import track

log_to_stderr()
draw_progress_bars()
with track("features", 3, unit="views", log_every_s=0) as features:
    for number in range(3):
        time.sleep(0.15)
        features.advance()
    with track("inner", 2, unit="parts", log_every_s=None) as parts:
        parts.advance(note="half")
        logging.getLogger("zoo").info("a line of the log")
        time.sleep(0.15)
print("result")
"""


def _run_on_a_terminal(code: str, term: str) -> tuple[str, str]:
    """Runs a program whose standard error is a terminal; returns its output and that."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": term, "COLUMNS": "100"}
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # Linux says so when the other end is closed.
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    output, _ = program.communicate()
    assert program.returncode == 0, shown.decode()
    return output.decode(), shown.decode()


def test_terminal_shows_a_bar_below_the_log() -> None:
    output, shown = _run_on_a_terminal(JOB, "xterm")
    assert output == "result\n"
    assert "━" in shown, "a bar"
    assert "3 of 3 views" in shown
    assert "1 of 2 parts" in shown
    assert "half" in shown
    assert "a line of the log\r\n" in shown
    assert "s left" not in shown, "the bar says so"


@pytest.mark.parametrize("terminal", [True, False])
def test_pipe_and_simple_terminal_show_plain_lines(terminal: bool) -> None:
    if terminal:
        _, shown = _run_on_a_terminal(JOB, "dumb")
    else:
        command = [sys.executable, "-c", JOB]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == "result\n"
        shown = done.stderr
    lines = shown.splitlines()
    assert [line.rpartition(",")[0] for line in lines[:3]] == [
        f"features: {number} of 3 views" for number in (1, 2, 3)
    ]
    assert lines[3:] == ["a line of the log"]
