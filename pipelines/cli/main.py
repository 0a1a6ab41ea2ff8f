"""The `zoo` program: runs a command, and turns what comes of it into an exit status."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

import typer

from pipelines.cli.commands import app
from pipelines.cli.progress_bars import draw_progress_bars
from pipelines.runtime.log import log_to_stderr
from zoo.errors import ZooError

COLLECTOR = (50_000, 10, 10)
"""When the command line's process collects garbage, as `gc.set_threshold` takes it: less
often than Python would, for TensorFlow and Keras are half a million objects that stay."""


def main() -> NoReturn:
    """Runs the command line and exits: 0 done, 1 the job failed, 2 the input is wrong."""
    gc.set_threshold(*COLLECTOR)
    status = run_command(sys.argv[1:])
    gc.freeze()  # nor once more when all is done
    sys.exit(status)


def run_command(arguments: list[str]) -> int:
    """Runs one command and returns its exit status; errors are one line on standard error."""
    log_to_stderr()
    draw_progress_bars()
    try:
        status = app(arguments, standalone_mode=False)
    except ZooError as error:
        if os.environ.get("ZOO_DEBUG") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except typer.TyperException as error:
        message = " ".join(error.format_message().split())
        print(f"error: {message}; `zoo --help` shows how", file=sys.stderr)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        print("error: interrupted; --resume goes on with a run", file=sys.stderr)
        return 130
    except OSError as error:
        if os.environ.get("ZOO_DEBUG") == "1":
            raise
        where = f"{str(error.filename)[:120]}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except Exception as error:
        # A fault of this project; a user still gets one line, and how to see more.
        if os.environ.get("ZOO_DEBUG") == "1":
            raise
        said = " ".join(str(error).split())[:200]
        print(f"error: {type(error).__name__}: {said}; ZOO_DEBUG=1 shows where", file=sys.stderr)
        return 1
    return status if isinstance(status, int) else 0
