"""Seals on exported models: proof that this user exported a SavedModel, and nobody changed it.

A SavedModel is a program: its graph can read and write files. An export is therefore sealed
with a key of the user, and what bears no such seal is only opened on request.

The seal, `seal.json` in the version's folder, lists the SHA-256 of every other file there, and
an HMAC-SHA256 of that list. A machine that has the same key accepts it too.

Reference: Krawczyk et al., 1997, https://www.rfc-editor.org/rfc/rfc2104
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
from pathlib import Path

from zoo.errors import RunError
from zoo.export.sealing_key import KeyFileError, key_file, make_key, read_key
from zoo.files import sha256_of, write_json
from zoo.json_text import json_text
from zoo.reading import parse_json, read_text

logger = logging.getLogger(__name__)

SEAL_FILE = "seal.json"

_MAX_SEAL_BYTES = 2**20
_PURPOSE = b"transfer-zoo SavedModel 1\n"


class _ForeignError(Exception):
    """The model bears no seal of this user; the message says why."""


def seal(folder: Path) -> None:
    """Seals a model with the user's key, which the first seal makes.

    Without a place for the key, the model stays unsealed, and a line of the log says so.

    Args:
        folder: A version's folder, with all of its files.
    """
    try:
        key, digests = make_key(), _digest_files(folder)
    except (KeyFileError, _ForeignError) as error:
        logger.warning(f"{error}: the export bears no seal, and `zoo predict` will ask for --trust")
        return
    write_json(folder / SEAL_FILE, {"files": digests, "hmac": _compute_hmac(digests, key)})


def check_seal(folder: Path) -> None:
    """Checks that a model was exported by this user, and is unchanged since.

    Args:
        folder: The folder of saved_model.pb.

    Raises:
        RunError: It was not, or has changed.
    """
    try:
        _check(folder, read_key())
    except (_ForeignError, KeyFileError) as error:
        raise RunError(
            f"{folder} is a program, which can read and write your files, and not known to be "
            "an export of yours",
            expected=f"a seal of {key_file() or 'your key'}",
            received=str(error),
            mend="if you trust where it is from, add --trust (in Python: trust=True)",
        ) from None


def _check(folder: Path, key: bytes | None) -> None:
    """Raises an error that says what is wrong with the seal, if anything is."""
    try:
        content = parse_json(read_text(folder / SEAL_FILE, max_bytes=_MAX_SEAL_BYTES))
        digests = {str(name): str(digest) for name, digest in content["files"].items()}
        stated = str(content["hmac"])
    except FileNotFoundError:
        raise _ForeignError("no seal") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise _ForeignError("a damaged seal") from None
    if not key:
        raise _ForeignError("a seal, but no key here")
    if not hmac.compare_digest(_compute_hmac(digests, key).encode(), stated.encode()):
        raise _ForeignError("a seal of another key")
    found = _digest_files(folder)
    for name in sorted(digests.keys() | found.keys()):
        if digests.get(name) != found.get(name):
            raise _ForeignError(f"{name}, which has changed since it was sealed")


def _digest_files(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file of a model but the seal, by its path.

    Raises:
        _ForeignError: There is a link or a device, or a file cannot be read.
    """
    digests = {}
    for parent, folders, names in os.walk(folder, onerror=_raise):
        for name in (*folders, *names):
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            try:
                mode = path.lstat().st_mode
                if stat.S_ISREG(mode):
                    if relative != SEAL_FILE:
                        digests[relative] = sha256_of(path)
                elif not stat.S_ISDIR(mode):
                    raise _ForeignError(f"{relative}, which is no regular file")
            except OSError as error:
                _raise(error)
    return digests


def _raise(error: OSError) -> None:
    raise _ForeignError(f"a file that cannot be read: {error.strerror}") from None


def _compute_hmac(digests: dict[str, str], key: bytes) -> str:
    # Sorted and printed in one way, so that the same files give the same bytes.
    text = json_text(dict(sorted(digests.items())), ascii_only=True)
    return hmac.new(key, _PURPOSE + text.encode(), hashlib.sha256).hexdigest()
