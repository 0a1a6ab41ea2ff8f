"""What a job says in its log, heard where neither `capsys` nor `caplog` is: in fixtures."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def hear() -> Iterator[io.StringIO]:
    """Collects the lines that `pipelines` logs within it."""
    said = io.StringIO()
    handler, log = logging.StreamHandler(said), logging.getLogger("pipelines")
    log.addHandler(handler)
    try:
        yield said
    finally:
        log.removeHandler(handler)
