"""Logging: the loggers of this project, and the handler the command line installs.

Modules log progress at INFO through `logging.getLogger(__name__)`. As a library the
project installs no handler; the command line calls `log_to_stderr`.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

from zoo.printable import printable

PACKAGES = ("zoo", "tuning", "pipelines")
"""Top-level packages, each the parent of its modules' loggers."""


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes records to whatever `sys.stderr` is when they are logged."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record as one line; an exception follows in lines of its own."""
        line = printable(record.getMessage())
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            line = "\n".join([line, *map(printable, trace.split("\n"))])
        return line

    @property
    def stream(self) -> TextIO:
        """Standard error as it is now: callers may have redirected it."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        pass


@contextlib.contextmanager
def logging_only(name: str) -> Iterator[None]:
    """Leaves out what is below a warning, but for one part of the project.

    Args:
        name: The part's logger, such as `pipelines.studies`.
    """
    loggers = {part: logging.getLogger(part) for part in (*PACKAGES, name)}
    levels = {part: logger.level for part, logger in loggers.items()}
    shown = loggers[name].getEffectiveLevel()
    try:
        for part, logger in loggers.items():
            logger.setLevel(shown if part == name else max(logging.WARNING, logger.level))
        yield
    finally:
        for part, logger in loggers.items():
            logger.setLevel(levels[part])


def log_to_stderr() -> None:
    """Installs the handler: one line a record on standard error. Safe to call twice."""
    for package in PACKAGES:
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        if not any(isinstance(handler, StderrHandler) for handler in logger.handlers):
            logger.addHandler(StderrHandler())
        # Records must not appear once more through a handler of the root logger.
        logger.propagate = False
