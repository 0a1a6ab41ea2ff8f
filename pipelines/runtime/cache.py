"""The cache of a job where the usual one cannot be written."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import InputError
from zoo.files import cache_folder

logger = logging.getLogger(__name__)

_VARIABLE = "ZOO_CACHE"
_PROBE_BYTES = 4096


@contextlib.contextmanager
def usable_cache() -> Iterator[None]:
    """Gives a job a temporary cache where the usual one cannot be written, and says so.

    There may be no home folder, it may be read-only as in a container, or its disk full.
    The temporary cache goes with the job; weights that lie in the usual one are found.
    The processes that the job starts share it.
    """
    folder, problem = _examine()
    if not problem:
        yield
        return
    before = os.environ.get(_VARIABLE)
    with tempfile.TemporaryDirectory(prefix="zoo-cache-", ignore_cleanup_errors=True) as name:
        if folder is not None and os.path.isdir(folder / "weights"):
            os.symlink(folder / "weights", Path(name) / "weights", target_is_directory=True)
        place = "there is no cache" if folder is None else f"the cache {folder} cannot be written"
        logger.warning(
            f"{place}: {problem}; this job keeps its own in {name} and removes it at the end; "
            f"set {_VARIABLE} to a folder that can be written"
        )
        os.environ[_VARIABLE] = name
        try:
            yield
        finally:
            if before is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = before


def _examine() -> tuple[Path | None, str]:
    """Returns the cache folder, None where there is none, and why it cannot be written."""
    try:
        folder = cache_folder()
    except InputError as error:
        return None, str(error)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return folder, error.strerror or str(error)
    return folder, ""
