"""The files of an exported model: regular ones alone, and the SHA-256 of each.

A seal and a signature both list them, and refuse a model whose files are others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from zoo.files import sha256_of

SEAL_FILE = "seal.json"
SIGNATURE_FILE = "model.sig"


class ForeignModelError(Exception):
    """Nothing shows that a model is what it was exported as; the message says why."""


def digest_files(folder: Path, *, without: Collection[str] = ()) -> dict[str, str]:
    """Returns the SHA-256 of each file of a model, by its path with slashes.

    Args:
        folder: The folder of saved_model.pb.
        without: Files that are left out.

    Raises:
        ForeignModelError: There is a link or a device, or a file cannot be read.
    """
    digests = {}
    for parent, folders, names in os.walk(folder, onerror=_raise):
        for name in (*folders, *names):
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            try:
                mode = path.lstat().st_mode
                if stat.S_ISREG(mode):
                    if relative not in without:
                        digests[relative] = sha256_of(path)
                elif not stat.S_ISDIR(mode):
                    raise ForeignModelError(f"{relative}, which is no regular file")
            except OSError as error:
                _raise(error)
    return digests


def check_digests(stated: Mapping[str, str], found: Mapping[str, str], *, since: str) -> None:
    """Checks that a model has the files it was exported with.

    Args:
        stated: The SHA-256 of each file then.
        found: That of each file now.
        since: What was done to it then: "sealed" or "signed".

    Raises:
        ForeignModelError: A file was changed, added or removed.
    """
    for name in sorted(stated.keys() | found.keys()):
        if stated.get(name) != found.get(name):
            raise ForeignModelError(f"{name}, which has changed since it was {since}")


def _raise(error: OSError) -> None:
    raise ForeignModelError(f"a file that cannot be read: {error.strerror}") from None
