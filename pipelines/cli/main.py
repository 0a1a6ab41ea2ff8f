"""The `zoo` program: runs a command and turns its outcome into an exit status."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import NoReturn

import typer

from pipelines.cli.commands import app
from pipelines.cli.progress_bars import draw_progress_bars
from pipelines.runtime.log import log_to_stderr
from pipelines.runtime.stderr import own_stderr
from zoo.errors import ZooError

GC_THRESHOLDS = (50_000, 10, 10)
"""Thresholds of garbage collection, larger than Python's own: importing TensorFlow and Keras
makes half a million objects that stay, and every collection would visit them."""


def main() -> NoReturn:
    """Runs the command line and exits: 0 done, 1 the job failed, 2 the input is wrong."""
    own_stderr()
    gc.set_threshold(*GC_THRESHOLDS)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path may hold bytes, and a class characters, that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    status = run_command(sys.argv[1:])
    gc.freeze()  # spares the collection at exit
    sys.exit(status)


def run_command(arguments: list[str]) -> int:
    """Runs one command; an error is one line on standard error.

    With ZOO_DEBUG=1 in the environment, errors of a job are raised instead.

    Args:
        arguments: The command and its arguments, without the program's name.

    Returns:
        The exit status: 0, 1 or 2 as `main` exits, or 130 after an interruption.
    """
    log_to_stderr()
    draw_progress_bars()
    try:
        status = app(arguments, standalone_mode=False)
    except typer.TyperException as error:
        message = " ".join(error.format_message().split())
        return _fail(f"{message}; see `zoo --help`", 2)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("interrupted; --resume continues a run", 130)
    except Exception as error:
        if os.environ.get("ZOO_DEBUG") == "1":
            raise
        return _fail(*_describe(error))
    return status if isinstance(status, int) else 0


def _describe(error: Exception) -> tuple[str, int]:
    """Returns the message and the exit status of an error."""
    if isinstance(error, ZooError):
        return str(error), error.exit_status
    if isinstance(error, OSError):
        place = f"{str(error.filename)[:120]}: " if error.filename else ""
        return f"{place}{error.strerror or error}", 2
    # A bug of this project.
    message = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {message}; ZOO_DEBUG=1 shows the traceback", 1


def _fail(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status
