"""Messages of libtiff about damaged files, collected instead of printed without a file's name.

Pillow's wheels bring libtiff as a shared library, which prints what it finds on standard error.
Where the library is not found, as in a Pillow that a system built, it goes on doing so.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
"""TIFFErrorHandler of tiffio.h: the function, a format and its arguments, a `va_list`."""

_MAX_BYTES = 512

_lock = threading.Lock()
_collected: dict[int, list[str]] = {}
"""By thread, the errors of the file that it decodes."""

_replaced: list[Any] = []
"""The handlers before ours, while any thread collects."""


@contextlib.contextmanager
def collect_tiff_errors() -> Iterator[list[str]]:
    """Collects what libtiff reports in this thread; its warnings are dropped.

    Yields:
        The errors so far, such as `LZWDecode: Not enough data at scanline 0`.
    """
    thread, errors = threading.get_ident(), list[str]()
    with _lock:
        _collected[thread] = errors
        if len(_collected) == 1:
            _install()
    try:
        yield errors
    finally:
        with _lock:
            del _collected[thread]
            if not _collected:
                _restore()


def _install() -> None:
    library = _find_library()
    if library is not None:
        _replaced.append(library.TIFFSetErrorHandler(_on_error))
        _replaced.append(library.TIFFSetWarningHandler(_on_warning))


def _restore() -> None:
    library = _find_library()
    if library is not None:
        library.TIFFSetWarningHandler(_replaced.pop())
        library.TIFFSetErrorHandler(_replaced.pop())


@functools.cache
def _find_library() -> Any:
    """Returns the libtiff that Pillow has loaded, or None."""
    import PIL

    package = Path(PIL.__file__).parent
    places = [package.parent / "pillow.libs", package / ".dylibs"]
    for file in sorted(file for place in places for file in place.glob("libtiff*")):
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(str(file))
            for setter in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
                setter.argtypes, setter.restype = [_Handler], _Handler
            return library
    return None


@_Handler
def _on_error(function: bytes | None, form: bytes | None, arguments: int | None) -> None:
    errors = _collected.get(threading.get_ident())
    if errors is not None:
        name, text = (function or b"").decode("latin-1"), _format(form or b"", arguments)
        # Some name the file, which Pillow calls tempfile.tif.
        errors.append(f"{name}: {text}" if name.isidentifier() else text)


@_Handler
def _on_warning(function: bytes | None, form: bytes | None, arguments: int | None) -> None:
    """Drops a warning: about tags, that neither Pillow nor anybody else reads."""


def _format(form: bytes, arguments: int | None) -> str:
    buffer = ctypes.create_string_buffer(_MAX_BYTES)
    try:
        # A va_list is passed as a pointer by the calling conventions of all platforms.
        ctypes.CDLL(None).vsnprintf(
            buffer, ctypes.c_size_t(_MAX_BYTES), ctypes.c_char_p(form), ctypes.c_void_p(arguments)
        )
    except (OSError, AttributeError, TypeError):
        return form.decode("latin-1")
    return " ".join(buffer.value.decode("latin-1").split())
