"""Examine the bytes of one image: format, size, depth, colors, digest, damage and problem.

An image without a problem decodes in training, validation and exported models alike: by the
same decoder, or for JPEG by the same library. What that decoder cannot read, and what it would
warn about each time, comes with its pixels, to be kept in its place (see `conversion`).
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.runtime.memory_budget import MemoryBudget
from pipelines.sources.config import MAX_PIXELS
from pipelines.sources.examining.colors import MAX_COUNTED_COLORS, count_colors
from pipelines.sources.examining.conversion import decode_pixels, encode_png
from pipelines.sources.examining.damage import (
    Damage,
    find_gif_damage,
    find_png_damage,
    png_chunks,
    without_damaged_chunks,
)
from pipelines.sources.examining.decoding_memory import estimate_memory
from pipelines.sources.examining.formats import (
    FORMATS,
    HEAD_BYTES,
    format_of,
    why_failed,
    why_no_image,
)
from pipelines.sources.examining.image_header import UnreadableError, read_header
from pipelines.sources.examining.jpeg_damage import (
    UnsupportedJpegError,
    decode_jpeg_strictly,
    read_jpeg_frame,
)
from zoo.installed import installed_version

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipelines.sources.examining.conversion import Pixels

MISSING = "missing"
"""The `problem` of a file that a table names and that does not exist."""

EXAMINED_SIDE = 224
"""Shorter side in pixels that is enough to examine an image, and what most networks look at."""

_RULES = 4  # incremented when the same bytes give another result
_LIBRARIES = (
    "pillow", "simplejpeg", "opencv-python-headless", "pi-heif", "tensorflow", "tensorflow-cpu",
)  # fmt: skip
_MANY_COLORS = 2 * MAX_COUNTED_COLORS

DECODING_BUDGET = MemoryBudget(2**29)
"""Bytes of the images that a process decodes at a time."""


@dataclass(frozen=True)
class ImageScan:
    """Result of examining one image.

    Args:
        name: Name of the image as in `Examples.names`.
        format: Format by the first bytes, whatever the extension, but for TGA: `JPEG`,
            `PNG`, …; empty if unknown.
        width: In pixels, of the upright image; 0 if its header cannot be read.
        height: In pixels, of the upright image; 0 if its header cannot be read.
        bits: Bits that the largest value needs: 8, or up to 16 where the file has 16.
        orientation: The file's EXIF orientation, 1 (upright) to 8.
        colors: Number of distinct colors: exact up to MAX_COUNTED_COLORS, else the
            number among about 4,000 evenly spaced pixels.
        sha256: Hexadecimal digest of the file; empty if the file was not read whole.
        problem: Why the image cannot be used, in a few words; empty if it can.
        damage: What is wrong with an image that decodes all the same; empty if nothing is.
        partial: Whether the damage may hide a part of the image, so that `data.damaged`
            decides on it.
        converted: Whether the conversion in the cache is read instead of the file.
    """

    name: str
    format: str = ""
    width: int = 0
    height: int = 0
    bits: int = 8
    orientation: int = 1
    colors: int = 0
    sha256: str = ""
    problem: str = ""
    damage: str = ""
    partial: bool = False
    converted: bool = False


@dataclass(frozen=True)
class Examination:
    """An examined image.

    Args:
        scan: What was found.
        pixels: What is read instead of the file, as of `conversion.decode_pixels`; None if
            the file itself is read.
        image: What the graph's decoder yields, uint8 [⌈H / r⌉, ⌈W / r⌉, 3], a JPEG as it is
            stored, another upright and on white; None if it reads another file, or colors of
            16 bits.
        reduction: r, 1 to 8.
    """

    scan: ImageScan
    pixels: Pixels | None = None
    image: npt.NDArray[np.uint8] | None = None
    reduction: int = 1


def examine_image(name: str, content: bytes, max_pixels: int = MAX_PIXELS) -> Examination:
    """Decodes one image, once, and records what it is.

    Threads that examine large images at the same time wait for each other, so that the
    memory they need together is bounded.

    Args:
        name: Name of the image as in `Examples.names`.
        content: The bytes of the file.
        max_pixels: Number of pixels from which on an image is refused, by its header, before
            it is decoded. The result depends on it in no other way.
    """
    head = content[:HEAD_BYTES]
    scan = ImageScan(name, format_of(head, name), sha256=hashlib.sha256(content).hexdigest())
    if problem := why_no_image(head, name):
        return Examination(replace(scan, problem=problem))
    try:
        header = read_header(scan.format, content)
    except UnreadableError as error:
        is_graph = FORMATS[scan.format].reader == "graph"
        return _refuse(scan, why_failed(scan.format, content) if is_graph else str(error))
    if not header.num_pixels:
        return _refuse(scan, "has no pixels")
    scan = replace(scan, width=header.width, height=header.height, orientation=header.orientation)
    if problem := find_size_problem(header.width, header.height, max_pixels):
        return Examination(replace(scan, problem=problem))
    reduction = choose_examined_reduction(header.width, header.height)
    num_bytes = estimate_memory(scan.format, content, header.num_pixels, reduction)
    with DECODING_BUDGET.reserve(num_bytes):
        if scan.format == "JPEG":
            return _examine_jpeg(scan, content)
        if FORMATS[scan.format].reader == "graph":
            return _examine_by_graph(scan, content)
        return _examine_by_conversion(scan, content)


def find_size_problem(width: int, height: int, max_pixels: int) -> str:
    """Returns why an image has too many pixels; nothing if it has not.

    Args:
        width: In pixels.
        height: In pixels.
        max_pixels: As `data.max_pixels`.
    """
    if width * height <= max_pixels:
        return ""
    return f"{width}x{height} pixels are more than data.max_pixels={max_pixels}"


def examination_rules() -> str:
    """Names all that the result depends on beside a file and `max_pixels`.

    Where a record of earlier examinations has other rules, they are not to be trusted.
    """
    versions = {library: installed_version(library) for library in _LIBRARIES}
    names = [f"{name} {found}" if found else f"no {name}" for name, found in versions.items()]
    return f"examination {_RULES}, {', '.join(names)}"


def prepare_image(
    name: str, content: bytes, max_pixels: int = MAX_PIXELS, *, thorough: bool = False
) -> tuple[bytes, str]:
    """Returns the bytes that the decoder in the graph reads for a file, or why there are none.

    Args:
        name: Name of the file, which tells a TGA.
        content: The bytes of the file.
        max_pixels: As `data.max_pixels`.
        thorough: Whether every file is decoded to find out. Otherwise only JPEG is, at a
            reduced size, and what is converted: another file is left to the decoder, which
            refuses it if it is damaged.

    Returns:
        The file itself or a PNG, and nothing; or nothing and why the file is not read: it does
        not decode, a part of it is hidden by damage, or it is too large.
    """
    if not thorough and _is_left_to_decoder(name, content, max_pixels):
        return content, ""
    found = examine_image(name, content, max_pixels)
    if problem := found.scan.problem or (found.scan.damage if found.scan.partial else ""):
        return b"", problem
    return (content if found.pixels is None else encode_png(found.pixels)), ""


def _is_left_to_decoder(name: str, content: bytes, max_pixels: int) -> bool:
    """Whether a file is none that the graph's decoder would misread, or warn about."""
    kind = format_of(content[:HEAD_BYTES], name)
    if kind == "JPEG" or not kind or FORMATS[kind].reader != "graph":
        return False
    try:
        header = read_header(kind, content)
    except UnreadableError:
        return False
    if header.num_pixels > max_pixels or (kind == "BMP" and _has_palette(content)):
        return False
    return _find_damage(kind, content) is None


def _find_damage(kind: str, content: bytes) -> Damage | None:
    if kind == "PNG":
        return find_png_damage(content)
    return find_gif_damage(content) if kind == "GIF" else None


def _refuse(scan: ImageScan, problem: str) -> Examination:
    return Examination(replace(scan, width=0, height=0, problem=problem))


def choose_examined_reduction(width: int, height: int) -> int:
    """Returns by how much a JPEG is reduced to be examined."""
    side = min(width, height)
    return max(r for r in (1, 2, 4, 8) if r == 1 or side >= r * EXAMINED_SIDE)


def _examine_jpeg(scan: ImageScan, content: bytes) -> Examination:
    try:
        reduction = choose_examined_reduction(scan.width, scan.height)
        image, damage = decode_jpeg_strictly(content, reduction)
        if image is None:
            return _convert(scan, content, damage)
        colors = count_colors(image)
        if colors <= _MANY_COLORS and reduction > 1:
            whole, _ = decode_jpeg_strictly(content)
            colors = colors if whole is None else count_colors(whole)
        scan = replace(scan, colors=colors)
        frame = read_jpeg_frame(content)
        if frame is None or len(frame.components) > 3:
            return Examination(scan)  # TensorFlow rounds CMYK in another way
        return Examination(scan, image=image, reduction=reduction)
    except UnsupportedJpegError as error:
        text = str(error).removeprefix("Corrupt JPEG data: ")
        if text == str(error) and not text.startswith("Warning: "):
            return _examine_by_graph(scan, content)
        # About its header: TensorFlow would decode the file, and print this each time.
        partial = not text.startswith("Warning: ")
        return _convert(scan, content, Damage(f"damaged JPEG: {text}", partial))


def _examine_by_graph(scan: ImageScan, content: bytes, damage: Damage | None = None) -> Examination:
    """Examines an image by the decoder in the graph, else by conversion."""
    import tensorflow as tf

    if scan.format == "JPEG" and b"\xff\xd9" not in content:
        return _refuse(scan, "cut off")  # without libjpeg's message about it
    image = None
    if not (scan.format == "BMP" and _has_palette(content)):
        with contextlib.suppress(tf.errors.OpError):
            image = _decode_by_graph(scan.format, content)
    damage = _find_damage(scan.format, content)
    if image is None or damage:
        return _convert(scan, content, damage)
    scan = replace(scan, height=image.shape[0], width=image.shape[1])
    if scan.format == "PNG" and content[24] == 16:
        values, bits = _read_deep_png(content)
        return Examination(replace(scan, bits=bits, colors=count_colors(values, bits)))
    scan = replace(scan, colors=count_colors(image))
    # A JPEG's would be turned upright already.
    return Examination(scan, image=None if scan.format == "JPEG" else image)


def _decode_by_graph(kind: str, content: bytes) -> npt.NDArray[np.uint8]:
    import tensorflow as tf

    from zoo.decoding.png import is_plain_png
    from zoo.preprocessing import decode

    with tf.device("CPU"):
        if kind == "PNG" and is_plain_png({name for name, *_ in png_chunks(content)}, content):
            image = tf.io.decode_png(content, channels=3)
        else:
            image = decode(tf.constant(content))
        decoded: npt.NDArray[np.uint8] = image.numpy()
        return decoded


def _read_deep_png(content: bytes) -> tuple[npt.NDArray[np.uint16], int]:
    """Returns the values of a PNG of 16 bits, without alpha, and the bits that they need."""
    import tensorflow as tf

    with tf.device("CPU"):
        values = tf.io.decode_png(content, dtype=tf.uint16).numpy()
    if values.shape[2] in (2, 4):
        values = values[..., :-1]
    return values, _bits_of(values)


def _bits_of(values: npt.NDArray[Any]) -> int:
    return max(8, int(values.max()).bit_length())


def _convert(scan: ImageScan, content: bytes, damage: Damage | None) -> Examination:
    """Examines a file that the graph does not read, or not silently."""
    if damage is not None:
        scan = replace(scan, damage=damage.text, partial=damage.partial)
        if scan.format == "PNG":
            content = without_damaged_chunks(content)
    found = _examine_by_conversion(scan, content)
    if not found.scan.problem:
        return found
    return _refuse(replace(scan, damage="", partial=False), why_failed(scan.format, content))


def _examine_by_conversion(scan: ImageScan, content: bytes) -> Examination:
    try:
        pixels = decode_pixels(scan.format, content)
    except UnreadableError as error:
        return _refuse(scan, str(error))
    is_deep = pixels.dtype.itemsize == 2
    bits = _bits_of(pixels[..., :3] if pixels.ndim == 3 else pixels) if is_deep else 8
    found = replace(
        scan,
        height=pixels.shape[0],
        width=pixels.shape[1],
        bits=bits,
        colors=count_colors(pixels, bits),
        converted=True,
    )
    return Examination(found, pixels)


def _has_palette(bmp: bytes) -> bool:
    """Whether a BMP has a color palette, which TensorFlow would ignore and read gray."""
    if int.from_bytes(bmp[28:30], "little") != 8:
        return False
    start = 14 + int.from_bytes(bmp[14:18], "little")
    palette = bmp[start : int.from_bytes(bmp[10:14], "little")]
    return any(
        palette[4 * i : 4 * i + 3] != bytes([i] * 3) for i in range(min(256, len(palette) // 4))
    )
