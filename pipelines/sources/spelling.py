"""Spellings of names: Unicode forms that look the same, and names that differ only in case."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path


def to_nfc(text: str) -> str:
    """Returns a text in Unicode's composed form (NFC).

    `é` is one character or an `e` with an accent, which no one can tell apart: macOS and
    some archives write the second. Text that is ASCII stays as it is.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def find_similar(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups names that differ only in case, in Unicode's form or in how words are joined.

    Returns:
        Groups of two names or more, each in the given order.

    Example:
        >>> find_similar(["Ants", "ants", "bees", "golden retriever", "golden_retriever"])
        [('Ants', 'ants'), ('golden retriever', 'golden_retriever')]
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        key = unicodedata.normalize("NFKC", name).casefold()
        groups[key.replace("_", " ").replace("-", " ")].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


class FileFinder:
    """Finds files by names whose Unicode form may be another than the disk's.

    Args:
        root: The folder that names are relative to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spellings: dict[str, dict[str, str]] = {}

    def find(self, name: str) -> str:
        """Returns a path as the disk spells it, or as it came if there is no such file.

        Args:
            name: Relative to the root, with `/`, or absolute.
        """
        if name.isascii() or os.path.lexists(self._root / name):
            return name
        found: list[str] = []
        for part in name.split("/"):
            known = self._list("/".join(found) or ("/" if name.startswith("/") else ""))
            found.append(known.get(to_nfc(part), part))
        return "/".join(found)

    def _list(self, folder: str) -> dict[str, str]:
        """Returns the entries of a folder by their composed form; none if it is unreadable."""
        if folder not in self._spellings:
            try:
                entries = os.listdir(self._root / folder)
            except (OSError, ValueError):
                entries = []
            self._spellings[folder] = {to_nfc(entry): entry for entry in sorted(entries)}
        return self._spellings[folder]
