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
from pathlib import Path

from zoo.errors import RunError
from zoo.export.model_files import (
    SEAL_FILE,
    SIGNATURE_FILE,
    ForeignModelError,
    check_digests,
    digest_files,
)
from zoo.export.sealing_key import KeyFileError, key_file, make_key, read_key
from zoo.files import write_json
from zoo.json_text import json_text
from zoo.reading import parse_json, read_text

logger = logging.getLogger(__name__)

_MAX_SEAL_BYTES = 2**20
_PURPOSE = b"transfer-zoo SavedModel 1\n"


def seal(folder: Path) -> None:
    """Seals a model with the user's key, which the first seal makes.

    Without a place for the key, the model stays unsealed, and a line of the log says so.

    Args:
        folder: A version's folder, with all of its files.
    """
    try:
        key, digests = make_key(), digest_files(folder, without=[SEAL_FILE])
    except (KeyFileError, ForeignModelError) as error:
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
    except (ForeignModelError, KeyFileError) as error:
        raise RunError(
            f"{folder} is a program, which can read and write your files, and not known to be "
            "an export of yours",
            expected=f"a seal of {key_file() or 'your key'}",
            received=str(error),
            mend=f"{_ask_for_key(folder)}if you trust where it is from, add --trust (in Python: "
            "trust=True)",
        ) from None


def _ask_for_key(folder: Path) -> str:
    """Returns how to check a signature, if there is one."""
    if not (folder / SIGNATURE_FILE).is_file():
        return ""
    return f"{SIGNATURE_FILE} is checked by --verify and the public key of whoever signed it, or "


def _check(folder: Path, key: bytes | None) -> None:
    """Raises an error that says what is wrong with the seal, if anything is."""
    try:
        content = parse_json(read_text(folder / SEAL_FILE, max_bytes=_MAX_SEAL_BYTES))
        digests = {str(name): str(digest) for name, digest in content["files"].items()}
        stated = str(content["hmac"])
    except FileNotFoundError:
        raise ForeignModelError("no seal") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ForeignModelError("a damaged seal") from None
    if not key:
        raise ForeignModelError("a seal, but no key here")
    if not hmac.compare_digest(_compute_hmac(digests, key).encode(), stated.encode()):
        raise ForeignModelError("a seal of another key")
    check_digests(digests, digest_files(folder, without=[SEAL_FILE]), since="sealed")


def _compute_hmac(digests: dict[str, str], key: bytes) -> str:
    # Sorted and printed in one way, so that the same files give the same bytes.
    text = json_text(dict(sorted(digests.items())), ascii_only=True)
    return hmac.new(key, _PURPOSE + text.encode(), hashlib.sha256).hexdigest()
