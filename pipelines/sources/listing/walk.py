"""List the files below a folder as fast as the disk allows, without a `Path` for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import DataError

_IGNORED = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"}
"""Lower-case names of files and folders that file managers leave behind."""


def is_ignored(name: str) -> bool:
    """Whether a file or folder is hidden or left behind by a file manager, by its name."""
    return name.startswith(".") or name.lower() in _IGNORED


def files_below(folder: str | Path, prefix: str = "") -> Iterator[str]:
    """Yields the files in a folder and all folders below it.

    Each folder is read once; a file is not touched. Links are followed, and a link to a folder
    that was read already is not. Hidden files and folders and those that file managers leave
    behind are ignored.

    Args:
        folder: The folder.
        prefix: What the yielded paths have before their path below `folder`.

    Yields:
        Paths with `/` between the folders, in a deterministic order: the files of a folder by
        name, then those of its folders.

    Raises:
        DataError: The folder or one below it cannot be read.
    """
    yield from _walk(os.fspath(folder), prefix, set())


def _walk(folder: str, prefix: str, seen: set[str]) -> Iterator[str]:
    folders: list[str] = []
    files: list[str] = []
    try:
        real = os.path.realpath(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                if not is_ignored(entry.name):
                    (folders if _is_folder(entry) else files).append(entry.name)
    except OSError as error:
        raise unreadable(folder, error) from None
    # A link to a parent folder would recurse without end.
    if real in seen:
        return
    seen.add(real)
    yield from (prefix + name for name in sorted(files))
    for name in sorted(folders):
        yield from _walk(os.path.join(folder, name), f"{prefix}{name}/", seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def unreadable(folder: str | Path, error: OSError) -> DataError:
    """Returns the error of a folder that cannot be read."""
    # The path may be unreadable because it is too long.
    text = os.fsencode(folder).decode(errors="backslashreplace")
    shown = text if len(text) <= 300 else f"{text[:150]}…{text[-150:]}"
    return DataError(
        f"Cannot read the folder {shown!r}: {error.strerror}",
        mend="check the path and its permissions",
    )
