"""Suppression of what native libraries write to standard error while they load."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def suppress_stderr() -> Iterator[None]:
    """Suppresses standard error, and replays it if the body raises.

    TensorFlow's libraries write to file descriptor 2 while they load, before they read
    their log level, so the descriptor itself is redirected.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:  # the parent process closed it, so there is nothing to suppress
        yield
        return
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(original, 2)
            captured.seek(0)
            os.write(2, captured.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
