"""When and by which camera a photograph was taken, by its EXIF data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipelines.sources.examining.formats import FORMATS, HEAD_BYTES, format_of
from pipelines.sources.examining.image_header import (
    EXIF_FOLDER,
    PILLOW_ERRORS,
    UnreadableError,
    read_exif,
)

JPEG_HEAD_BYTES = 2**18
"""Bytes of a JPEG that hold its EXIF data, if it has any: a segment has 64 KiB at most, and they
are in one of the first."""

_MAKE, _MODEL = 0x010F, 0x0110
_TAKEN, _FRACTION, _SERIAL_NUMBER = 0x9003, 0x9291, 0xA431


@dataclass(frozen=True)
class Capture:
    """When and by what a photograph was taken.

    Args:
        camera: Maker, model and serial number, as far as the file has them.
        time_s: Seconds by the camera's clock, since 1 January of the year 1.
    """

    camera: tuple[str, ...]
    time_s: float


def read_capture(name: str, content: bytes) -> Capture | None:
    """Returns when a photograph was taken; None if it does not say so.

    Args:
        name: Name of the file, which tells a TGA.
        content: Its bytes; of a JPEG the first JPEG_HEAD_BYTES are enough.
    """
    kind = format_of(content[:HEAD_BYTES], name)
    if not kind or FORMATS[kind].reader == "none":
        return None
    try:
        exif = read_exif(kind, content)
        details = exif.get_ifd(EXIF_FOLDER)
        taken = datetime.strptime(_text(details.get(_TAKEN)), "%Y:%m:%d %H:%M:%S")
        fraction = _text(details.get(_FRACTION))
        camera = (exif.get(_MAKE), exif.get(_MODEL), details.get(_SERIAL_NUMBER))
    except (UnreadableError, *PILLOW_ERRORS):
        return None
    since = (taken - datetime.min).total_seconds()
    part = float(f"0.{fraction}") if fraction.isascii() and fraction.isdecimal() else 0.0
    return Capture(tuple(map(_text, camera)), since + part)


def _text(value: object) -> str:
    return value.strip("\0 ") if isinstance(value, str) else ""
