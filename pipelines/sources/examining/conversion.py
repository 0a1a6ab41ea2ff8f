"""Conversions: images that the decoder in the graph cannot read, kept as PNG in the cache.

    CACHE/converted/<version>/<digest of the file>.png

The scan decodes such a file once: formats that only Pillow or pi-heif reads, and damaged
files that are used all the same. Everything after it reads the PNG: 8 or 16 bits, upright, with
its alpha channel. The digest of an image stays that of the user's file. A removed cache loses
nothing but the time to convert again.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.sources.examining.image_header import (
    PILLOW_ERRORS,
    UnreadableError,
    open_image,
    orientation_of,
)
from pipelines.sources.examining.tiff_messages import collect_tiff_errors
from zoo.errors import DataError
from zoo.files import cache_folder, replacing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

    Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_VERSION = "1"
_NO_REASON = "decoder error"  # how Pillow reports any error of libtiff
_QUIET = threading.Lock()

MAX_BYTES = 10 * 2**30
"""Disk space of all conversions; beyond it, those that nobody has read for days are removed."""

_IN_USE_S = 2 * 86400.0
"""Age of the last use up to which a conversion stays: another job may still read it."""

_PLAIN_MODES = ("L", "LA", "RGB", "RGBA")
_DEEP = 2**16 - 1
_WARNED_PIXELS = 2**28 // 3
"""Size from which on Pillow warns of a TIFF, about 89 megapixels."""


def converted_file(sha256: str) -> Path:
    """Returns the place of the conversion of a file, whether it exists or not.

    Args:
        sha256: Hexadecimal digest of the file.
    """
    name = Path(sha256[:2]) / f"{sha256}.png"
    place = _folder() / name
    if _temporary_folder.cache_info().currsize:
        temporary = _temporary_folder() / name
        return temporary if temporary.is_file() and not place.is_file() else place
    return place


def _folder() -> Path:
    return cache_folder().absolute() / "converted" / _VERSION


@functools.cache
def _temporary_folder() -> Path:
    """Returns a folder for conversions that goes with this process."""
    folder = tempfile.mkdtemp(prefix="zoo-converted-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def store_conversion(sha256: str, pixels: Pixels) -> Path:
    """Writes the conversion of a file, unless it exists.

    Where the cache cannot be written, it lies in a temporary folder as long as this process.

    Args:
        sha256: Hexadecimal digest of the file.
        pixels: As of `decode_pixels`.

    Raises:
        DataError: The cache cannot be written.
    """
    path = converted_file(sha256)
    if path.is_file():
        return path
    content = encode_png(pixels)
    with contextlib.suppress(OSError):
        return _write(path, content)
    try:
        return _write(_temporary_folder() / sha256[:2] / path.name, content)
    except OSError as error:
        raise DataError(
            f"Cannot keep a converted image in {str(path.parent)!r}: {error.strerror}",
            mend="set ZOO_CACHE to a writable folder with enough space",
        ) from error


def _write(path: Path, content: bytes) -> Path:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def evict_conversions(limit_bytes: int = MAX_BYTES) -> int:
    """Removes the least recently used conversions until the rest fits the limit.

    Those that were read within two days stay, however many they are.

    Args:
        limit_bytes: Disk space for all of them.

    Returns:
        Bytes removed.
    """
    files = []
    for file in _folder().glob("*/[!.]*.png"):
        with contextlib.suppress(OSError):  # removed by another job meanwhile
            stat = file.stat()
            # Linux notes a reading once a day; where it does not, the time of writing counts.
            files.append((max(stat.st_atime, stat.st_mtime), stat.st_size, file))
    total, removed = sum(size for _, size, _ in files), 0
    for used, size, file in sorted(files):
        if total - removed <= limit_bytes or used > time.time() - _IN_USE_S:
            break
        with contextlib.suppress(OSError):
            file.unlink()
            removed += size
    return removed


def encode_png(pixels: Pixels) -> bytes:
    """Returns pixels as a PNG file.

    Args:
        pixels: As of `decode_pixels`.
    """
    import cv2

    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, order[pixels.shape[2]])
    # The lowest compression: files about a tenth larger, in a fifth of the time.
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return encoded.tobytes()


def decode_pixels(kind: str, content: bytes) -> Pixels:
    """Decodes an image of any format that is read, upright.

    Args:
        kind: Its format, a row of FORMATS that is read.
        content: The bytes of the file. Where a JPEG ends too early, the rest is gray.

    Returns:
        uint8 or uint16, [H, W] gray, [H, W, 3] RGB or [H, W, 4] RGB and alpha. uint16 has the
        values of the file, which may fill fewer bits.

    Raises:
        UnreadableError: It does not decode.
    """
    if kind == "JPEG":
        content += b"\xff\xd9"
    with open_image(kind, content) as image, collect_tiff_errors() as tiff_errors:
        try:
            deep = _decode_deep_color(kind, content, image)
            if deep is None:
                _load(image)
            pixels: Pixels = _as_array(kind, image) if deep is None else deep
        except UnreadableError:
            raise
        except PILLOW_ERRORS as error:
            text = " ".join(str(error).split())
            if tiff_errors and text.startswith(_NO_REASON):
                text = tiff_errors[0].rstrip(".")
            cut = "truncated" in text or "cut" in text
            raise UnreadableError("cut off" if cut else f"damaged {kind}: {text}") from None
        # Pillow turns a TIFF itself, and then drops the tag.
        return turn(pixels, orientation_of(image))


def _load(image: Image) -> None:
    """Decodes an image; its size was checked before."""
    from PIL.Image import DecompressionBombWarning

    if image.width * image.height <= _WARNED_PIXELS:
        image.load()
        return
    # Python's filters are the whole process'; images of this size are decoded one at a time.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DecompressionBombWarning)
        image.load()


def turn(pixels: Pixels, orientation: int) -> Pixels:
    """Returns an image as its viewer shall see it.

    Args:
        pixels: [H, W] or [H, W, C].
        orientation: EXIF's number, 1 to 8: on which side row 0 and column 0 are.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels.copy() if pixels.base is not None else pixels


def _as_array(kind: str, image: Any) -> Pixels:
    """Returns the pixels of a decoded Pillow image of any mode."""
    import numpy as np

    mode = image.mode
    if mode.startswith("I;16") or mode == "I":
        values: npt.NDArray[Any] = np.asarray(image)
        if values.min() < 0 or values.max() > _DEEP:
            raise UnreadableError(
                f"{kind} of more than 16 bits is not supported: convert it to PNG"
            )
        deep: npt.NDArray[np.uint16] = values.astype(np.uint16)
        return deep
    if mode == "F":
        raise UnreadableError(f"{kind} of fractions is not supported: convert it to PNG")
    has_alpha = mode in ("PA", "La", "RGBa") or "transparency" in image.info
    if has_alpha or mode == "LA":
        image = image.convert("RGBA")
    elif mode not in _PLAIN_MODES:
        image = image.convert("L" if mode == "1" else "RGB")
    pixels: npt.NDArray[np.uint8] = np.asarray(image, np.uint8)
    return pixels


def _decode_deep_color(kind: str, content: bytes, image: Any) -> npt.NDArray[np.uint16] | None:
    """Decodes color of 16 bits, which Pillow reduces to 8, as uint16 [H, W, 3 or 4]; else None."""
    import cv2
    import numpy as np

    if kind not in ("TIFF", "PPM") or image.mode not in ("RGB", "RGBA", "RGBX") or not image.tile:
        return None
    arguments = image.tile[0].args
    largest = arguments[-1] if kind == "PPM" and isinstance(arguments, tuple) else 0
    if not (";16" in str(arguments) or largest > 255):
        return None
    with _QUIET:
        # Else OpenCV prints what it finds; Pillow, which comes next, names it.
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        finally:
            cv2.utils.logging.setLogLevel(level)
    if decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 3:
        return None
    order = cv2.COLOR_BGR2RGB if decoded.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    pixels = cv2.cvtColor(decoded, order)
    if kind == "PPM" and largest != _DEEP:
        # As Pillow does for gray: the file says which value is white.
        return np.round(pixels * (_DEEP / largest)).astype(np.uint16)
    return pixels
