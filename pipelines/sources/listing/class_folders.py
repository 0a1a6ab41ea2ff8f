"""Class folders: those below a folder, or the deepest ones, and hints on the layout."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipelines.sources.listing.walk import is_ignored, unreadable
from pipelines.sources.spelling import to_nfc
from pipelines.sources.split_names import looks_like_split
from zoo.errors import DataError

Classes = dict[str, list[Path]]
"""Folders by the class that their images have."""


def find_class_folders(root: Path, folder: Path, *, leaves: bool) -> tuple[Classes, list[Path]]:
    """Finds the class folders of a data set or of one of its splits.

    Args:
        root: The data set, for messages.
        folder: The folder above the class folders.
        leaves: Whether the deepest folders are the classes.

    Returns:
        The folders by class, and the files beside or above them.

    Raises:
        DataError: A folder cannot be read, or the name of a class is not valid Unicode.
    """
    folders, loose = list_folder(folder)
    if leaves:
        folders, others = _find_leaves(folders, frozenset())
        loose = loose + others
    classes: Classes = {}
    for class_folder in folders:
        _check_encoding(root, class_folder)
        classes.setdefault(to_nfc(class_folder.name), []).append(class_folder)
    return classes, loose


def find_hints(
    root: Path, classes: Mapping[str, Classes], unsplit: Iterable[Path], *, leaves: bool
) -> Iterator[str]:
    """Yields what the owner should know of how the folders were read.

    Args:
        root: The data set.
        classes: The class folders by split.
        unsplit: Folders that are classes and lie where split folders could.
        leaves: Whether the deepest folders are the classes.
    """
    found = [folder for of_split in classes.values() for fs in of_split.values() for folder in fs]
    alike = {folder: looks_like_split(folder.name) for folder in unsplit}
    alike = {f: split for f, split in alike.items() if split and _holds_only_folders(f)}
    for folder, split in alike.items():
        name = relative_name(root, folder)
        yield f"the class folder {name}/ looks like a split; if it is one, call it {split}/"
    if not leaves and not alike and len(found) > 1 and all(map(_holds_only_folders, found)):
        yield (
            "every class folder holds folders alone; if these are the classes, "
            "--set data.leaves=true"
        )
    for of_split in classes.values():
        for name, folders in of_split.items():
            if len(folders) > 1:
                joined = ", ".join(f"{relative_name(root, folder)}/" for folder in folders[:5])
                more = f" and {len(folders) - 5} more" if len(folders) > 5 else ""
                yield f"class {name!r} joins {joined}{more}"


def list_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the folders and the files in a folder, each sorted by name.

    Raises:
        DataError: It cannot be read.
    """
    try:
        found = sorted(path for path in folder.iterdir() if not is_ignored(path.name))
        return [p for p in found if p.is_dir()], [p for p in found if not p.is_dir()]
    except OSError as error:
        raise unreadable(folder, error) from None


def relative_name(root: Path, path: Path) -> str:
    r"""Returns a path relative to `root`, with bytes that are not UTF-8 escaped as in \xe9."""
    name = path.relative_to(root).as_posix()
    return os.fsencode(name).decode(errors="backslashreplace")


def _find_leaves(folders: Iterable[Path], above: frozenset[str]) -> tuple[list[Path], list[Path]]:
    """Returns the deepest of these folders and those below them, and the files above those."""
    leaves: list[Path] = []
    loose: list[Path] = []
    for folder in folders:
        real = os.path.realpath(folder)
        # A link to a parent folder would recurse without end.
        if real in above:
            continue
        below, files = list_folder(folder)
        if not below:
            leaves.append(folder)
            continue
        deeper, others = _find_leaves(below, above | {real})
        leaves += deeper
        loose += files + others
    return leaves, loose


def _holds_only_folders(folder: Path) -> bool:
    """Whether a folder holds folders and no file; stops at the first file."""
    empty = True
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_ignored(entry.name):
                    continue
                if not entry.is_dir():
                    return False
                empty = False
    except OSError as error:
        raise unreadable(folder, error) from None
    return not empty


def _check_encoding(root: Path, folder: Path) -> None:
    """Raises DataError for a class name that TOML, JSON and model files cannot hold."""
    try:
        folder.name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"The name of the class folder {relative_name(root, folder)!r} is not valid UTF-8",
            expected="a name in UTF-8",
            mend="rename it",
        ) from None
