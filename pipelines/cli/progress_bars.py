"""Progress bars at the bottom of a terminal, below the log lines."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zoo.printable import printable
from zoo.progress import format_count, render_with

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def draw_progress_bars() -> None:
    """Draws bars if standard error is a terminal that can; otherwise progress is logged."""
    capable = sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")
    render_with(ProgressBars() if capable else None)


class ProgressBars:
    """Opens bars of one display, which appears with the first and vanishes with the last."""

    def __init__(self) -> None:
        self._display: Progress | None = None
        self._num_open = 0

    @contextlib.contextmanager
    def __call__(self, description: str, unit: str) -> Iterator[RichBar]:
        """Opens a bar."""
        display = self._display = self._display or _build_display()
        if not self._num_open:
            display.start()
        self._num_open += 1
        task = display.add_task(printable(description), total=None, count="", note="")
        try:
            yield RichBar(display, task, unit)
        finally:
            display.remove_task(task)
            self._num_open -= 1
            if not self._num_open:
                display.stop()
                self._display = None


class RichBar:
    """One bar.

    Args:
        display: The display it is part of.
        task: Its number there.
        unit: What it counts, in the plural.
    """

    def __init__(self, display: Progress, task: TaskID, unit: str) -> None:
        self._display, self._task, self._unit = display, task, unit

    def update(self, done: float, total: float | None, note: str) -> None:
        """Draws the progress.

        Args:
            done: Units done, those before an interruption included.
            total: Units in all; None if unknown.
            note: What the last unit brought, in a few words.
        """
        count = f"{format_count(done, total)} {self._unit}"
        self._display.update(
            self._task, completed=done, total=total, count=count, note=printable(note)
        )


def _build_display() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}", markup=False),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
        # Log lines go through `sys.stderr`, which rich puts above the bars.
        console=Console(stderr=True),
        redirect_stdout=False,
        transient=True,
    )
