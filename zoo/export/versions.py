"""Versions of an exported model: numbered folders, each placed whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import RunError
from zoo.files import placing_folder


def next_version(to: Path) -> Path:
    """Returns the folder for the next version: the highest number in `to` plus one.

    Gaps stay: TensorFlow Serving serves the highest version.

    Raises:
        RunError: `to` or one of its versions is a file.
    """
    if not os.path.lexists(to):
        return to / "1"
    if not to.is_dir():
        raise RunError(
            f"{to} is a file", expected="a folder to write into", mend="choose another --to"
        )
    # isdigit accepts superscripts, which int() refuses.
    versions = [path for path in to.iterdir() if path.name.isdecimal()]
    for path in versions:
        if not path.is_dir():
            raise RunError(
                f"{path} is a file",
                expected="a folder, as each version of a model is one",
                mend="move it away, or choose another --to",
            )
    return to / str(max((int(path.name) for path in versions), default=0) + 1)


@contextlib.contextmanager
def placing_version(version: Path) -> Iterator[Path]:
    """Yields a temporary folder, and moves it to a version's on success.

    If the body raises, nothing is left, the new folders above it included.

    Args:
        version: From `next_version`.
    """
    new_folders = [path for path in version.parents if not path.exists()]
    try:
        with placing_folder(version) as folder:
            yield folder
    finally:
        # Removes the new folders after a failure; rmdir refuses those of a finished export.
        with contextlib.suppress(OSError):
            for path in new_folders:
                path.rmdir()
