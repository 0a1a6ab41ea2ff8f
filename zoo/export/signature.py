"""Signatures on exported models: who has the public key can tell whose a SavedModel is.

A seal convinces the machines that share a secret key; a signature convinces everybody else.
`model.sig` in the version's folder is a bundle as OpenSSF's Model Signing has it, over the
SHA-256 of every other file there but the seal, so that other tools verify it too. Keys are
files and nothing asks the network. Needs the extra `sign`.

Reference: https://github.com/ossf/model-signing-spec
"""

from __future__ import annotations

import base64
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.errors import InputError, RunError
from zoo.export.model_files import (
    SEAL_FILE,
    SIGNATURE_FILE,
    ForeignModelError,
    check_digests,
    digest_files,
)
from zoo.reading import parse_json, read_text

Signer = Callable[[Path, str], None]
"""Signs the model in a folder; takes its name too, which is for people."""

PASSWORD = "ZOO_SIGN_PASSWORD"
"""The environment variable with the password of an encrypted private key."""

_MAX_KEY_BYTES = 2**16
_MAX_SIGNATURE_BYTES = 2**20
_KEYS = "a PEM file with a {} key on the curve P-256, P-384 or P-521"


def open_signer(key: Path) -> Signer:
    """Reads a private key.

    Args:
        key: A PEM file with a key on the curve P-256, P-384 or P-521; if it is encrypted,
            `ZOO_SIGN_PASSWORD` has its password.

    Returns:
        What signs a model with it.

    Raises:
        InputError: The key cannot be read, or is of another kind; or model-signing is not
            installed.
    """
    _check_key_file(key, "private")
    signing, hashing, manifests = (_library(name) for name in ("signing", "hashing", "manifest"))
    password = os.environ.get(PASSWORD, "").encode() or None
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key, password=password)
    # ValueError, TypeError, AttributeError or UnsupportedAlgorithm, by what the file holds.
    except Exception as error:
        encrypted = f", or {PASSWORD} with its password" if "ENCRYPTED" in read_text(key) else ""
        raise _not_a_key(key, "private", error, encrypted) from None

    class Hashing:
        """Hashes a model and names it: its folder has a temporary name."""

        def __init__(self, name: str) -> None:
            self.name = name

        def hash(self, folder: Path) -> Any:
            ignored = [SIGNATURE_FILE, SEAL_FILE]
            config = hashing.Config().set_ignored_paths(paths=ignored, ignore_git_paths=False)
            found = config.hash(folder)
            kind = manifests.SerializationType.from_args(found.serialization_type)
            items = [kind.new_item(r.identifier, r.digest) for r in found.resource_descriptors()]
            return manifests.Manifest(self.name, items, kind)

    def sign(folder: Path, name: str) -> None:
        config.set_hashing_config(Hashing(name)).sign(folder, folder / SIGNATURE_FILE)

    return sign


def check_signature(folder: Path, key: Path) -> None:
    """Checks that a model was signed with a key, and is unchanged since.

    Args:
        folder: The folder of saved_model.pb.
        key: A PEM file with the public key.

    Raises:
        InputError: The key cannot be read, or is of another kind; or model-signing is not
            installed.
        RunError: The model was not signed with it, or has changed.
    """
    _check_key_file(key, "public")
    verifying, hashing = _library("verifying"), _library("hashing")
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except Exception as error:
        raise _not_a_key(key, "public", error) from None
    try:
        stated = _read_statement(folder / SIGNATURE_FILE)
        ignored = [SIGNATURE_FILE, *([] if SEAL_FILE in stated else [SEAL_FILE])]
        # Refuses what is no regular file, before anything opens it.
        found = digest_files(folder, without=ignored)
        files = hashing.Config().set_ignored_paths(paths=ignored, ignore_git_paths=False)
        try:
            config.set_hashing_config(files).verify(folder, folder / SIGNATURE_FILE)
        # InvalidSignature, ValueError, KeyError or IndexError, by what the bundle holds.
        except Exception as error:
            if "Key mismatch" in str(error):
                raise ForeignModelError("a signature of another key") from None
            # The signature is right, so that what is stated is what was signed.
            if str(error).startswith("Signature mismatch"):
                check_digests(stated, found, since="signed")
            raise ForeignModelError("a damaged signature") from None
    except ForeignModelError as error:
        raise RunError(
            f"{folder} is a program, which can read and write your files, and not known to be "
            "from the owner of the key",
            expected=f"a signature that {key} verifies",
            received=str(error),
            mend="get the model and the key again from whoever signed it",
        ) from None


def _read_statement(file: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file as a signature states them; nothing is verified yet.

    Raises:
        ForeignModelError: There is no signature, or none of this kind.
    """
    try:
        bundle = parse_json(read_text(file, max_bytes=_MAX_SIGNATURE_BYTES))
        # Without the digest of its key, model-signing prints a warning on standard output.
        by_key = bool(bundle["verificationMaterial"]["publicKey"]["hint"])
        statement = parse_json(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        form = statement["predicate"]["serialization"]
        if not by_key or (form["method"], form["hash_type"]) != ("files", "sha256"):
            raise ForeignModelError("a signature of another kind")
        return {str(r["name"]): str(r["digest"]) for r in statement["predicate"]["resources"]}
    except FileNotFoundError:
        raise ForeignModelError("no signature") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ForeignModelError("a damaged signature, or one of another kind") from None


def _library(name: str) -> Any:
    try:
        return importlib.import_module(f"model_signing.{name}")
    except ImportError as error:
        raise InputError(
            "signatures need packages that are not installed",
            expected="model-signing and pyOpenSSL",
            received=str(error),
            mend="pip install 'transfer-zoo[sign]'",
        ) from None


def _check_key_file(key: Path, half: str) -> None:
    try:
        read_text(key, max_bytes=_MAX_KEY_BYTES)
    except (OSError, ValueError) as error:
        raise _not_a_key(key, half, error) from None


def _not_a_key(key: Path, half: str, error: Exception, otherwise: str = "") -> InputError:
    reason = error.strerror if isinstance(error, OSError) else str(error).partition(". ")[0]
    return InputError(
        f"{key} holds no {half} key that can be used",
        expected=_KEYS.format(half) + otherwise,
        received=reason or type(error).__name__,
        mend="make a pair by `openssl ecparam -genkey -name prime256v1 -noout -out sign.pem` and "
        "`openssl ec -in sign.pem -pubout -out sign.pub`",
    )
