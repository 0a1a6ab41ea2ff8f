"""What a job says while it runs, on standard error."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Prints one line on standard error, at once."""
    print(line, file=sys.stderr, flush=True)
