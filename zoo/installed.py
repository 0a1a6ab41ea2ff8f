"""Versions of installed packages, read without importing them."""

from __future__ import annotations

from importlib import metadata


def installed_version(distribution: str) -> str:
    """Returns the version of an installed package; empty if it is not installed.

    Args:
        distribution: Its name in the package index, which its modules may not have.

    Example:
        >>> installed_version("no-such-package")
        ''
    """
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
