"""License check: everything installed beside this file's interpreter has a license we allow.

Run as `python tools/licenses.py`. Reads the metadata of installed packages, the license
texts and the names of the shared libraries inside them; needs no network. What is allowed,
and what a person has looked up, is in licenses.toml.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import Distribution, PackagePath, distributions
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("licenses.toml")

_LIBRARY = re.compile(r".+(\.so(\.[\d.]+)?|\.dylib|\.dll)")
_BUNDLED = re.compile(r".+\.libs|\.dylibs")
_TEXT = re.compile(r"licen[cs]e|copying|notice|third.?party", re.IGNORECASE)
_COPYLEFT = re.compile(r"^\W*GNU (AFFERO |LESSER |LIBRARY )?GENERAL PUBLIC LICENSE\W*$", re.M)


@dataclass(frozen=True)
class Table:
    """What is allowed, and what was looked up.

    Args:
        allowed: SPDX identifiers, and exceptions as they follow WITH.
        spellings: From what old metadata say, in lower case, to the SPDX identifier.
        packages: By package whose metadata say nothing: its license.
        libraries: By package: patterns of the shared libraries in its wheel.
        texts: By package: why the text of a GNU license may lie in its wheel.
    """

    allowed: frozenset[str]
    spellings: dict[str, str]
    packages: dict[str, str]
    libraries: dict[str, list[str]]
    texts: dict[str, str]

    @classmethod
    def load(cls, file: Path = TABLE) -> Table:
        """Reads licenses.toml."""
        content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        libraries: dict[str, list[str]] = {}
        for row in content["libraries"]:
            libraries.setdefault(row["package"], []).extend(row["files"])
        return cls(
            frozenset(content["allowed"]) | {row["license"] for row in content["libraries"]},
            {text.lower(): known for text, known in content["spellings"].items()},
            {row["package"]: row["license"] for row in content["packages"]},
            libraries,
            {row["package"]: row["reason"] for row in content["texts"]},
        )


def main() -> int:
    """Prints what is wrong, a line each; returns the exit status."""
    table = Table.load()
    installed = {_name(package): package for package in distributions()}
    problems = [line for name in sorted(installed) for line in check(installed[name], table)]
    for line in problems:
        print(f"error: {line}", file=sys.stderr)
    if not problems:
        print(f"licenses: {len(installed)} packages, all allowed")
    return 1 if problems else 0


def check(package: Distribution, table: Table) -> Iterator[str]:
    """Yields what is wrong with a package's license, with a shared library or a text in it."""
    name, described = _name(package), f"{_name(package)} {package.version}"
    license_ = table.packages.get(name) or declared_license(package, table)
    if not license_:
        yield (
            f"{described} declares no license that is known; received "
            f"{_declared(package)}; look it up, and add a row to {TABLE.name}"
        )
    elif not is_allowed(license_, table.allowed):
        yield f"{described} is under {license_}, which {TABLE.name} does not allow"
    for file in package.files or ():
        if _is_library(file) and not any(
            fnmatchcase(file.name, pattern) for pattern in table.libraries.get(name, ())
        ):
            yield (f"{described} holds {file}; look its license up, and add a row to {TABLE.name}")
        if name not in table.texts and _TEXT.search(file.name) and _is_copyleft(file):
            yield (
                f"{described} holds the text of a GNU license, {file}; look up what is under it, "
                f"and add a row to {TABLE.name}"
            )


def declared_license(package: Distribution, table: Table) -> str:
    """Returns the SPDX expression that a package declares; empty where it is not known."""
    for text in _declared(package):
        known = table.spellings.get(text.lower(), text)
        if text == _field(package, "License-Expression") or is_allowed(known, table.allowed):
            return known
    return ""


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Returns whether an SPDX expression without parentheses leaves an allowed license.

    Example:
        >>> allowed = frozenset({"MIT", "BSD-3-Clause"})
        >>> is_allowed("GPL-3.0-only OR MIT", allowed), is_allowed("MIT AND GPL-2.0-only", allowed)
        (True, False)
    """
    return any(
        all(part.strip() in allowed for part in choice.split(" AND "))
        for choice in expression.split(" OR ")
    )


def _declared(package: Distribution) -> list[str]:
    """Returns what the metadata say of the license, the most reliable first."""
    if expression := _field(package, "License-Expression"):
        return [expression]
    classifiers = [
        text.removeprefix("License :: ")
        for text in package.metadata.get_all("Classifier") or ()
        if text.startswith("License :: ")
    ]
    text = _field(package, "License").strip()
    texts = [*([text] if text and "\n" not in text else []), *classifiers]
    return [text.removeprefix("OSI Approved :: ") for text in texts]


def _field(package: Distribution, name: str) -> str:
    """Returns a field of the metadata; empty where it is missing."""
    return next(iter(package.metadata.get_all(name) or ()), "")


def _is_library(file: PackagePath) -> bool:
    """Returns whether a file is a shared library, which may be somebody else's.

    Extension modules, which are the package's own, have other names and places.
    """
    if not _LIBRARY.fullmatch(file.name) or ".cpython-" in file.name:
        return False
    return file.name.startswith("lib") or any(map(_BUNDLED.fullmatch, file.parts[:-1]))


def _is_copyleft(file: PackagePath) -> bool:
    path = Path(str(file.locate()))
    return path.is_file() and bool(
        _COPYLEFT.search(path.read_text(encoding="utf-8", errors="replace"))
    )


def _name(package: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()


if __name__ == "__main__":
    sys.exit(main())
