"""Header of an image file: size and orientation, without decoding its pixels."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL.Image import DecompressionBombError, Exif

from pipelines.sources.examining.damage import png_chunks
from pipelines.sources.examining.formats import FORMATS

if TYPE_CHECKING:
    from PIL.Image import Image

EXIF_FOLDER = 0x8769
"""The tag of what EXIF data say of the exposure."""

_ORIENTATION = 0x0112
_WITH_EXIF = ("JPEG", "PNG", "WEBP")
_TURNED_FROM = 5
"""The first orientation that exchanges width and height."""


PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    EOFError,
    ArithmeticError,
    TypeError,
    AttributeError,
    RuntimeError,
    DecompressionBombError,
    Warning,  # where Python is told to raise them
)
"""What Pillow raises for damaged files: by its documentation, and by trying."""


class UnreadableError(ValueError):
    """A file cannot be read; the message says why, in a few words."""


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image says.

    Args:
        width: In pixels, of the upright image.
        height: In pixels, of the upright image.
        orientation: The EXIF orientation, 1 (upright) to 8.
    """

    width: int
    height: int
    orientation: int = 1

    @property
    def num_pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def read_header(kind: str, content: bytes) -> ImageHeader:
    """Reads the header of an image.

    Args:
        kind: Its format, a row of FORMATS that is read.
        content: The bytes of the file.

    Raises:
        UnreadableError: The header is damaged, or a library that reads the format is absent.
    """
    if kind == "PNG" and content[12:16] == b"IHDR":
        return _read_png_header(content)
    with open_image(kind, content) as image:
        return _upright(kind, *image.size, orientation_of(image))


def _read_png_header(content: bytes) -> ImageHeader:
    """Reads the header of a PNG without Pillow, which decodes it all to look for EXIF data."""
    width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    return _upright("PNG", width, height, _valid(_read_png_exif(content)))


def _read_png_exif(content: bytes) -> Exif:
    exif = Exif()
    for name, start, end in png_chunks(content):
        if name == b"eXIf":
            exif = Exif()
            with contextlib.suppress(*PILLOW_ERRORS):
                exif.load(content[start + 8 : end - 4])
    return exif


def read_exif(kind: str, content: bytes) -> Exif:
    """Returns the EXIF data of an image; without a tag if it has none, or if they are damaged.

    Args:
        kind: Its format, a row of FORMATS that is read.
        content: The bytes of the file.

    Raises:
        UnreadableError: The header is damaged, or a library that reads the format is absent.
    """
    if kind == "PNG" and content[12:16] == b"IHDR":
        return _read_png_exif(content)
    with open_image(kind, content) as image:
        exif = _exif_of(image)
        with contextlib.suppress(*PILLOW_ERRORS):
            exif.get_ifd(EXIF_FOLDER)  # of a TIFF it cannot be read once the image is closed
        return exif


def _exif_of(image: Image) -> Exif:
    try:
        if image.format not in _WITH_EXIF:
            return image.getexif()
        # Without what Pillow takes from XMP data, which nothing else turns an image by.
        exif = Exif()
        exif.load(image.info.get("exif", b""))
    except PILLOW_ERRORS:
        return Exif()
    return exif


def open_image(kind: str, content: bytes) -> Image:
    """Opens an image with Pillow, or HEIC with pi-heif, by the plugin of its format alone.

    Unlike `PIL.Image.open`, it tries no other format, and leaves the limit of pixels to
    the caller.

    Args:
        kind: Its format, a row of FORMATS that is read.
        content: The bytes of the file.

    Returns:
        An image whose pixels are not decoded yet.

    Raises:
        UnreadableError: The header is damaged, or a library that reads the format is absent.
    """
    module, _, name = FORMATS[kind].plugin.partition(".")
    if module == "pi_heif" and not has_heif():
        raise UnreadableError("HEIC needs pi-heif: pip install 'transfer-zoo[heif]'")
    try:
        if module == "pi_heif":
            plugin = importlib.import_module("pi_heif")
            return _as_image(plugin.HeifImageFile(io.BytesIO(content)))
        factory = getattr(importlib.import_module(f"PIL.{module}"), name)
        return _as_image(factory(io.BytesIO(content)))
    except PILLOW_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableError(f"damaged {kind}: {reason}") from None


def has_heif() -> bool:
    """Whether HEIC can be read: the extra `heif` is installed."""
    return importlib.util.find_spec("pi_heif") is not None


def _as_image(image: Any) -> Image:
    return image


def orientation_of(image: Image) -> int:
    """Returns the EXIF orientation of an open image, 1 to 8; 1 if it has none."""
    try:
        return _valid(_exif_of(image))
    except PILLOW_ERRORS:
        return 1  # A damaged tag turns nothing.


def _valid(exif: Exif) -> int:
    orientation = exif.get(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def _upright(kind: str, width: int, height: int, orientation: int) -> ImageHeader:
    # Of a TIFF, Pillow's size is the upright one.
    if orientation >= _TURNED_FROM and kind != "TIFF":
        width, height = height, width
    return ImageHeader(width, height, orientation)
