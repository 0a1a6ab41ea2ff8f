"""KerasHub itself, imported only when a backbone or a saved model asks for it."""

from __future__ import annotations

import importlib
import importlib.util
import zipfile
from pathlib import Path
from typing import Any

from zoo.errors import InputError

INSTALL = "pip install --no-deps keras-hub==0.32.0 regex tokenizers sentencepiece"
"""Without its dependencies: it requires tensorflow-text, which requires another TensorFlow."""


def check_installed() -> None:
    """Checks that KerasHub can be found, without importing it.

    Raises:
        InputError: It is not installed.
    """
    try:
        found = importlib.util.find_spec("keras_hub") is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise InputError(
            "a backbone kerashub:… needs KerasHub, which is not installed",
            expected="keras-hub 0.32",
            mend=INSTALL,
        )


def import_kerashub() -> Any:
    """Returns the module `keras_hub`.

    Raises:
        InputError: It is not installed, or lacks what it imports itself.
    """
    check_installed()
    try:
        return importlib.import_module("keras_hub")
    except ImportError as error:
        raise InputError(
            "KerasHub cannot be imported",
            expected="keras-hub 0.32 with regex, tokenizers and sentencepiece",
            received=str(error),
            mend=INSTALL,
        ) from error


def import_for_model(file: Path) -> None:
    """Imports KerasHub if a saved model has layers of it, so that Keras finds their classes.

    Args:
        file: A .keras file; one that cannot be read is left to Keras to refuse.

    Raises:
        InputError: It has such layers, and KerasHub is not installed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            needed = b'"keras_hub>' in archive.read("config.json")
    except (OSError, KeyError, zipfile.BadZipFile):
        return
    if needed:
        import_kerashub()
