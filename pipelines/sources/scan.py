"""Decode each image once before training, to find its format, size, digest and problems.

The decoder is the one that training, validation and exported models use, so an
image that decodes here decodes there. Pixels are dropped after the scan of their
image: memory use does not grow with the number of images.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.sources.source import Examples, Listing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MISSING = "missing"
"""The `problem` of a file that a table names and that does not exist."""

MAX_COUNTED_COLORS = 64
"""Largest number of colors that is counted exactly; a photograph has more."""

_HEAD_BYTES = 32
_DECODABLE = ("JPEG", "PNG", "GIF", "BMP", "WebP")
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x01\x00", "Windows icon"),
    (b"%PDF", "PDF"),
    (b"<svg", "SVG"),
)


@dataclass(frozen=True)
class ImageScan:
    """Result of decoding one image.

    Args:
        name: Name of the image as in `Examples.names`.
        format: Format by the first bytes, whatever the extension: `JPEG`, `PNG`, …;
            empty if unknown.
        width: In pixels; 0 if the image does not decode.
        height: In pixels; 0 if the image does not decode.
        colors: Number of distinct colors: exact up to MAX_COUNTED_COLORS, else the
            number among about 4,000 evenly spaced pixels.
        sha256: Hexadecimal digest of the file; empty if the file was not read whole.
        problem: Why the image does not decode, in a few words; empty if it does.
    """

    name: str
    format: str = ""
    width: int = 0
    height: int = 0
    colors: int = 0
    sha256: str = ""
    problem: str = ""


def scan_images(listing: Listing) -> dict[str, tuple[ImageScan, ...]]:
    """Decodes every image of a listing, on all cores.

    Returns:
        A result for each image, by split, in the order of the listing.
    """
    import tensorflow  # noqa: F401 - once, before several threads need it

    # The decoder releases the interpreter lock, so the threads run in parallel.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return {
            split: tuple(pool.map(_scan_image, [examples] * len(examples), range(len(examples))))
            for split, examples in listing.splits.items()
        }


def keep_decodable(listing: Listing, scans: Mapping[str, Sequence[ImageScan]]) -> Listing:
    """Returns a listing of the images that decode, with their digests and shapes.

    Args:
        listing: The images that were scanned.
        scans: Results of `scan_images` for them.
    """
    import numpy as np

    splits: dict[str, Examples] = {}
    for split, examples in listing.splits.items():
        kept = [i for i, scan in enumerate(scans[split]) if not scan.problem]
        if kept:
            found = [scans[split][i] for i in kept]
            splits[split] = replace(
                examples.take(kept),
                digests=tuple(scan.sha256 for scan in found),
                shapes=np.array([(scan.height, scan.width) for scan in found], np.int64),
            )
    return replace(listing, splits=splits)


def format_of(head: bytes) -> str:
    """Returns the format by the first bytes of a file; empty if unknown.

    Example:
        >>> format_of(b"GIF89a and more")
        'GIF'
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"avif", b"avis"):
            return "AVIF"
        return "HEIC" if brand[:2] in (b"he", b"mi", b"ms") else "video"
    return next((name for signature, name in _SIGNATURES if head.startswith(signature)), "")


def _scan_image(examples: Examples, index: int) -> ImageScan:
    name = examples.names[index]
    content, problem = _read(examples, index)
    if problem:
        return ImageScan(name, format_of(content[:_HEAD_BYTES]), problem=problem)
    image, problem = decode_image(content)
    return ImageScan(
        name=name,
        format=format_of(content[:_HEAD_BYTES]),
        height=0 if image is None else image.shape[0],
        width=0 if image is None else image.shape[1],
        colors=0 if image is None else _count_colors(image),
        sha256=hashlib.sha256(content).hexdigest(),
        problem=problem,
    )


def _read(examples: Examples, index: int) -> tuple[bytes, str]:
    """Returns the bytes of an image; else the first few bytes and why it is none."""
    if examples.files is None:
        return examples.read(index), ""
    path: Path = examples.files[index]
    try:
        # Reading a pipe would block, and a video need not be read to its end.
        if not stat.S_ISREG(path.stat().st_mode):
            return b"", "not a file"
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            if format_of(head) not in _DECODABLE:
                return head, _why_no_image(head)
            return head + file.read(), ""
    except (FileNotFoundError, NotADirectoryError):
        return b"", "a broken link" if path.is_symlink() else MISSING
    except ValueError:
        return b"", MISSING  # The name holds a NUL character.
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return b"", MISSING
        return b"", f"cannot be read: {error.strerror}"


def decode_image(content: bytes) -> tuple[npt.NDArray[np.uint8] | None, str]:
    """Decodes an image, or finds the reason why it does not decode.

    Args:
        content: The bytes of the file.

    Returns:
        uint8 [H, W, 3], or None; and the reason, such as 'cut off', or nothing.
    """
    import tensorflow as tf

    from zoo.preprocessing import decode

    if problem := find_format_problem(content):
        return None, problem
    try:
        with tf.device("CPU"):
            image: npt.NDArray[np.uint8] = decode(tf.constant(content)).numpy()
    except tf.errors.OpError:
        return None, _why_failed(format_of(content[:_HEAD_BYTES]), content)
    return (image, "") if image.size else (None, "has no pixels")


def find_format_problem(content: bytes) -> str:
    """Returns why a file is no image of a supported format, without decoding it; or nothing.

    Args:
        content: The bytes of the file.
    """
    kind = format_of(content[:_HEAD_BYTES])
    if kind not in _DECODABLE:
        return _why_no_image(content[:_HEAD_BYTES])
    if kind == "JPEG" and b"\xff\xd9" not in content:
        # The decoder would fail too, and libjpeg would write to standard error.
        return "cut off"
    if kind == "BMP" and _has_palette(content):
        return "BMP with a palette is not supported: convert it to PNG"
    return ""


def _why_no_image(head: bytes) -> str:
    """Returns why a file is no image of a supported format."""
    if not head:
        return "empty file"
    if not head.strip(b"\x00"):
        return "not an image (nothing but zeros)"
    kind = format_of(head)
    if kind in ("video", "PDF"):
        return f"not an image but a {kind}"
    if kind:
        return f"{kind} is not supported: convert it to JPEG or PNG"
    shown = head[:16].decode("latin-1").strip()
    return f"not an image (starts with {shown!r})"


def _why_failed(kind: str, content: bytes) -> str:
    """Returns why the decoder failed on an image of a supported format."""
    cut = {
        "JPEG": b"\xff\xd9" not in content[-64:],
        "PNG": b"IEND" not in content[-64:],
        "GIF": not content.endswith(b";"),
        "BMP": int.from_bytes(content[2:6], "little") > len(content),
        "WebP": int.from_bytes(content[4:8], "little") + 8 > len(content),
    }
    if cut[kind]:
        return "cut off"
    bits = int.from_bytes(content[28:30], "little")
    if kind == "BMP" and bits not in (8, 24, 32):
        return f"BMP of {bits} bits a pixel is not supported: convert it to PNG"
    return f"damaged {kind}"


def _has_palette(bmp: bytes) -> bool:
    """Whether a BMP has a color palette, which TensorFlow would ignore and read gray."""
    if int.from_bytes(bmp[28:30], "little") != 8:
        return False
    start = 14 + int.from_bytes(bmp[14:18], "little")
    palette = bmp[start : int.from_bytes(bmp[10:14], "little")]
    return any(palette[4 * i : 4 * i + 3] != bytes([i] * 3) for i in range(len(palette) // 4))


def _count_colors(image: npt.NDArray[np.uint8]) -> int:
    pixels = image.reshape(-1, 3)
    sampled = _distinct(pixels[:: max(1, len(pixels) // 4096) | 1])
    return sampled if sampled > MAX_COUNTED_COLORS else _distinct(pixels)


def _distinct(pixels: npt.NDArray[np.uint8]) -> int:
    import numpy as np

    codes = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    return len(np.unique(codes))
