"""The `zoo` program: runs a command and turns its outcome into an exit status."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from typing import NoReturn

import typer

from pipelines.cli.commands import app
from pipelines.cli.interruption import (
    catch_signals,
    describe_interruption,
    exit_status,
    was_interrupted,
)
from pipelines.cli.progress_bars import draw_progress_bars
from pipelines.cli.streams import prepare_streams, silence_stdout
from pipelines.runtime.cache import usable_cache
from pipelines.runtime.log import log_to_stderr
from pipelines.runtime.stderr import own_stderr
from zoo.errors import ZooError
from zoo.files import DISK_ERRORS, DISK_MEND
from zoo.printable import printable

GC_THRESHOLDS = (50_000, 10, 10)
"""Thresholds of garbage collection, larger than Python's own: importing TensorFlow and Keras
makes half a million objects that stay, and every collection would visit them."""

_JOBS = ("audit", "evaluate", "predict", "serve")
"""Commands that use the cache outside of `pipelines.runtime.isolation.isolated`."""


def main() -> NoReturn:
    """Runs the command line and exits.

    The status is 0 if the job is done, 1 if it failed, 2 if the input is wrong, 130 after
    Ctrl-C and 143 after SIGTERM.
    """
    prepare_streams()
    catch_signals()
    own_stderr()
    gc.set_threshold(*GC_THRESHOLDS)
    status = run_command(sys.argv[1:])
    gc.freeze()  # spares the collection at exit
    sys.exit(status)


def run_command(arguments: list[str]) -> int:
    """Runs one command; an error is one line on standard error.

    With ZOO_DEBUG=1 in the environment, errors of a job are raised instead.

    Args:
        arguments: The command and its arguments, without the program's name.

    Returns:
        The exit status, as `main` exits with it.
    """
    log_to_stderr()
    draw_progress_bars()
    try:
        with usable_cache() if arguments and arguments[0] in _JOBS else contextlib.nullcontext():
            status = app(arguments or ["--help"], standalone_mode=False)
    except typer.TyperException as error:
        message = " ".join(error.format_message().split()).removesuffix(".")
        return _fail(f"{message}; see `zoo --help`", 2)
    except (typer.Abort, KeyboardInterrupt):
        return _fail(describe_interruption(arguments), exit_status())
    except BrokenPipeError:
        silence_stdout()
        return _fail("the reader of standard output has gone away", 1)
    except Exception as error:
        if was_interrupted():
            return _fail(describe_interruption(arguments), exit_status())
        if os.environ.get("ZOO_DEBUG") == "1":
            raise
        return _fail(*_describe(error))
    if status == 128 + signal.SIGINT:  # Typer's answer to a KeyboardInterrupt
        return _fail(describe_interruption(arguments), exit_status())
    return status if isinstance(status, int) else 0


def _describe(error: Exception) -> tuple[str, int]:
    """Returns the message and the exit status of an error."""
    if isinstance(error, ZooError):
        return str(error), error.exit_status
    if isinstance(error, OSError):
        place = f"{str(error.filename)[:120]}: " if error.filename else ""
        if error.errno in DISK_ERRORS or not error.errno:
            # A full or failing disk is no wrong input.
            return f"{place}{error.strerror or error}; {DISK_MEND}", 1
        return f"{place}{error.strerror or error}", 2
    # A bug of this project.
    message = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {message}; ZOO_DEBUG=1 shows the traceback", 1


def _fail(message: str, status: int) -> int:
    print(f"error: {printable(message)}", file=sys.stderr)
    return status
