"""Pairs of keys in PEM files, made by `cryptography`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def write_pair(folder: Path, name: str, key: Any = None, password: str = "") -> tuple[Path, Path]:
    """Writes NAME.pem and NAME.pub; returns both.

    Args:
        folder: Where to.
        name: Their name.
        key: A private key; a new one on the curve P-256 by default.
        password: Encrypts the private key.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    encryption = (
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption()
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(pem, form, encryption))
    subject = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, subject))
    return private, public
