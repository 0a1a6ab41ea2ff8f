"""Progress of long jobs: log lines, or the bars that an application draws instead.

A library does not draw on a terminal, so `track` logs a line every few seconds. An
application that owns a terminal, as the command line does, calls `render_with` once.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

logger = logging.getLogger(__name__)

LOG_EVERY_S = 10.0

_FIRST_S, _LONG_S = 1.5, 5.0
"""A job that has at least so many seconds left is first logged after so many."""


class Bar(Protocol):
    """Shows the progress of one job."""

    def update(self, done: float, total: float | None, note: str) -> None:
        """Shows how much is done.

        Args:
            done: Units done, those before an interruption included.
            total: Units in all; None if unknown.
            note: What the last unit brought, in a few words.
        """


Renderer = Callable[[str, str], AbstractContextManager[Bar]]
"""Opens a bar, given a description and a unit; closes it at the end of the context."""

_renderer: Renderer | None = None


def render_with(renderer: Renderer | None) -> None:
    """Sets what shows progress in this process; None logs lines."""
    global _renderer
    _renderer = renderer


class Progress:
    """Counts the units of one job that are done.

    Args:
        bar: Shows the count.
        total: Units in all; None if unknown.
        done: Units done before.
    """

    def __init__(self, bar: Bar, total: float | None, done: float) -> None:
        self.bar, self.total, self.done = bar, total, done

    def advance(self, count: float = 1, *, note: str = "") -> None:
        """Adds units that are done now."""
        self.update(self.done + count, self.total, note=note)

    def update(self, done: float, total: float | None, *, note: str = "") -> None:
        """Sets the progress and shows it.

        Args:
            done: Units done, those before an interruption included.
            total: Units in all; None if unknown.
            note: What the last unit brought, in a few words.
        """
        self.done, self.total = done, total
        self.bar.update(done, total, note)


@contextlib.contextmanager
def track(
    description: str,
    total: float | None,
    *,
    unit: str,
    done: float = 0,
    log_every_s: float | None = LOG_EVERY_S,
) -> Iterator[Progress]:
    """Shows the progress of a job while the context lasts.

    Args:
        description: The job, in a word or two.
        total: Units in all; None if unknown.
        unit: The unit, in the plural.
        done: Units done before, in an interrupted job.
        log_every_s: Seconds between log lines, at least, but for the first one of a long
            job, which comes soon; None logs none, for jobs that log their own.

    Example:
        >>> with track("features", 500, unit="views") as progress:
        ...     progress.advance(32)
        >>> progress.done
        32
    """
    if _renderer is None:
        yield Progress(_LogLines(description, unit, done, log_every_s), total, done)
        return
    with _renderer(description, unit) as bar:
        bar.update(done, total, "")
        yield Progress(bar, total, done)


class _LogLines:
    """Logs progress, such as `features: 120 of 500 views, 11 s left`."""

    def __init__(self, description: str, unit: str, done: float, log_every_s: float | None) -> None:
        self.description, self.unit, self.log_every_s = description, unit, log_every_s
        self.done_before = done
        self.started = self.logged = time.perf_counter()

    def update(self, done: float, total: float | None, note: str) -> None:
        now = time.perf_counter()
        if self.log_every_s is None or now - self.logged < min(self.log_every_s, _FIRST_S):
            return
        left_s = None
        if total is not None and done > self.done_before:
            rate = (done - self.done_before) / (now - self.started)
            left_s = max(total - done, 0) / rate
        is_early = now - self.logged < self.log_every_s
        if is_early and (self.logged != self.started or left_s is None or left_s < _LONG_S):
            return
        self.logged = now
        parts = [f"{self.description}: {format_count(done, total)} {self.unit}"]
        if note:
            parts.append(note)
        if left_s is not None:
            parts.append(f"{left_s:.0f} s left")
        logger.info(", ".join(parts))


def format_count(done: float, total: float | None) -> str:
    """Formats a count, such as `120 of 500`.

    Example:
        >>> format_count(1200, 5000), format_count(3, None)
        ('1,200 of 5,000', '3')
    """
    return f"{done:,.0f}" if total is None else f"{done:,.0f} of {total:,.0f}"
