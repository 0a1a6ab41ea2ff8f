"""Where the files lie that a table names otherwise: which settings would find them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from pipelines.sources.examining.formats import IMAGE_EXTENSIONS
from pipelines.sources.listing.walk import is_ignored

_SAMPLE = 5
"""Missing files that a folder and an extension have to find."""


def propose_settings(data: str, missing: Sequence[str]) -> str:
    """Returns how to mend a table whose files are missing, as a setting where one helps.

    Args:
        data: Path of the table.
        missing: Names of the missing files, relative to the folder of the table.
    """
    root = Path(data).parent
    for folder in ("", *_list_folders(root)):
        for suffix in ("", *IMAGE_EXTENSIONS, *map(str.upper, IMAGE_EXTENSIONS)):
            if not folder and not suffix:
                continue
            found = (root / folder / f"{name}{suffix}" for name in missing[:_SAMPLE])
            if all(map(_exists, found)):
                settings = {"data.folder": folder, "data.suffix": suffix}
                return " ".join(
                    f"--set {shlex.quote(f'{setting}={value}')}"
                    for setting, value in settings.items()
                    if value
                )
    return (
        "correct the paths, which are relative to the table's own folder, or to data.folder "
        "if that is set"
    )


def _list_folders(root: Path) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not is_ignored(e.name))
    except OSError:
        return []


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
