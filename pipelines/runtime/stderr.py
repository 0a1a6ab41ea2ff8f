"""Suppression of what native libraries write to standard error while they load."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator

_lock = threading.Lock()
_allowed: set[str] = set()


def own_stderr() -> None:
    """Lets `suppress_stderr` redirect standard error: this process is the command line's."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Pillow warns of damaged tags without the file's name; a scan names the file.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")
    _allowed.add("stderr")


@contextlib.contextmanager
def suppress_stderr() -> Iterator[None]:
    """Suppresses standard error on the command line, and replays it if the body raises.

    TensorFlow's libraries write to file descriptor 2 while they load, before they read
    their log level, so the descriptor itself is redirected. It belongs to the whole
    process, hence to the caller of the library: without `own_stderr`, nothing happens. A
    second thread within a suppression redirects nothing either.
    """
    if not _allowed or not _lock.acquire(blocking=False):
        yield
        return
    try:
        with _redirected():
            yield
    finally:
        _lock.release()


@contextlib.contextmanager
def _redirected() -> Iterator[None]:
    if sys.stderr:
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
