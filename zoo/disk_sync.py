"""Files and folders flushed to the disk: a power cut does not undo what was said to be done.

A file system may write the name of a file before its content, and both long after the call
that made them. What is to outlast a power cut is therefore flushed in this order: the file,
and, once it has its name, the folder that holds the name.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def sync_file(path: Path) -> None:
    """Flushes the content of a file.

    Raises:
        OSError: The disk does not take it.
    """
    # Opened for writing: Windows cannot flush a file that is open for reading alone.
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Flushes the names in a folder; those of Windows are not flushed by a program.

    Raises:
        OSError: The disk does not take them.
    """
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # a folder that can be written but not listed
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flushes the files and folders below a folder, and itself last.

    Raises:
        OSError: The disk does not take them.
    """
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync_file(Path(place, name))
        sync_folder(Path(place))


def make_folders(folder: Path) -> list[Path]:
    """Makes a folder and its missing parents, and flushes their names.

    Args:
        folder: It may exist.

    Returns:
        The folders that were missing, the lowest first.

    Raises:
        OSError: One cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)
    return missing
