"""Decoding every image once before training, to learn what it is or why it is none.

The decoder is the one that training, validation and the exported model use, so
what passes here cannot fail there. Pixels are looked at and let go: memory stays
flat however many images there are.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.sources.source import Examples, Listing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MISSING = "missing"
"""The problem of a file that is named but not there."""

FLAT = 64
"""Up to this many colors an image is drawn rather than photographed, and they are counted."""

_HEAD = 32
_DECODABLE = ("JPEG", "PNG", "GIF", "BMP", "WebP")
_MAGIC = (
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
class Fact:
    """What is known of one image once it has been decoded, or could not be.

    Args:
        name: As `Examples.names` calls it.
        format: By its first bytes, whatever the name says: `JPEG`, `PNG`, …, or
            empty where they are of no known kind.
        width: In pixels; 0 where it cannot be decoded.
        height: In pixels; 0 where it cannot be decoded.
        colors: Distinct colors: exact up to FLAT; beyond, those among some 4,000
            evenly spaced pixels.
        sha256: Of the file's bytes, hexadecimal; empty where they were not read whole.
        problem: Why it cannot be decoded, in plain words; empty where it can.
    """

    name: str
    format: str = ""
    width: int = 0
    height: int = 0
    colors: int = 0
    sha256: str = ""
    problem: str = ""


def scan(listing: Listing) -> dict[str, tuple[Fact, ...]]:
    """Decodes every image of a listing, on all cores.

    Returns:
        A fact for every image, in the order of the listing, by split.
    """
    import tensorflow  # noqa: F401 - here, and not in several threads at once

    # The decoder lets go of Python's lock, so threads do run side by side.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return {
            split: tuple(pool.map(_examine, [examples] * len(examples), range(len(examples))))
            for split, examples in listing.splits.items()
        }


def decodable(
    listing: Listing, facts: Mapping[str, tuple[Fact, ...]]
) -> tuple[Listing, tuple[Fact, ...]]:
    """Returns the listing without the images that failed, and the facts of those that stay.

    Args:
        listing: What was scanned.
        facts: What `scan` returned for it.

    Returns:
        The listing, whose examples now know their digests and shapes; and the facts
        in its order.
    """
    import numpy as np

    kept_splits: dict[str, Examples] = {}
    kept_facts: list[Fact] = []
    for split, examples in listing.splits.items():
        good = [i for i, fact in enumerate(facts[split]) if not fact.problem]
        kept_facts += [facts[split][i] for i in good]
        if good:
            found = [facts[split][i] for i in good]
            kept_splits[split] = replace(
                examples.take(good),
                digests=tuple(fact.sha256 for fact in found),
                shapes=np.array([(fact.height, fact.width) for fact in found], np.int64),
            )
    return replace(listing, splits=kept_splits), tuple(kept_facts)


def why_undecodable(content: bytes) -> str:
    """Says in plain words why bytes cannot be decoded; nothing where they can.

    Args:
        content: A file's bytes.

    Returns:
        A few words, such as 'cut off', or the empty string.
    """
    return _decode(content)[1]


def format_of(head: bytes) -> str:
    """Returns the format that a file's first bytes show, or the empty string.

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
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "")


def _examine(examples: Examples, index: int) -> Fact:
    name = examples.names[index]
    content, problem = _read(examples, index)
    if problem:
        return Fact(name, format_of(content[:_HEAD]), problem=problem)
    image, problem = _decode(content)
    return Fact(
        name=name,
        format=format_of(content[:_HEAD]),
        height=0 if image is None else image.shape[0],
        width=0 if image is None else image.shape[1],
        colors=0 if image is None else _count_colors(image),
        sha256=hashlib.sha256(content).hexdigest(),
        problem=problem,
    )


def _read(examples: Examples, index: int) -> tuple[bytes, str]:
    """Returns an image's bytes; of what cannot be one, the first few and the reason."""
    if examples.files is None:
        return examples.read(index), ""
    path: Path = examples.files[index]
    try:
        # A pipe would block for ever, and a film need not be read to its end.
        if not stat.S_ISREG(path.stat().st_mode):
            return b"", "not a file"
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if format_of(head) not in _DECODABLE:
                return head, _why_not(head)
            return head + file.read(), ""
    except (FileNotFoundError, NotADirectoryError):
        return b"", "a link to nothing" if path.is_symlink() else MISSING
    except ValueError:
        return b"", MISSING  # The name holds a NUL, which no file's does.
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return b"", MISSING
        return b"", f"cannot be read: {error.strerror}"


def _decode(content: bytes) -> tuple[npt.NDArray[np.uint8] | None, str]:
    import tensorflow as tf

    from zoo.preprocessing import decode

    kind = format_of(content[:_HEAD])
    if kind not in _DECODABLE:
        return None, _why_not(content[:_HEAD])
    if kind == "JPEG" and b"\xff\xd9" not in content:
        # It would be refused all the same, after a word from libjpeg on standard error.
        return None, "cut off"
    if kind == "BMP" and _has_palette(content):
        return None, "BMP with a palette is not supported: convert it to PNG"
    try:
        with tf.device("CPU"):
            image: npt.NDArray[np.uint8] = decode(tf.constant(content)).numpy()
    except tf.errors.OpError:
        return None, _why_failed(kind, content)
    return (image, "") if image.size else (None, "has no pixels")


def _why_not(head: bytes) -> str:
    """Why bytes that are of no decodable format are none."""
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
    """Why bytes that begin as an image do not decode."""
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
    """Whether a pixel stands for a color in a palette, where TensorFlow takes it for gray."""
    if int.from_bytes(bmp[28:30], "little") != 8:
        return False
    start = 14 + int.from_bytes(bmp[14:18], "little")
    palette = bmp[start : int.from_bytes(bmp[10:14], "little")]
    return any(palette[4 * i : 4 * i + 3] != bytes([i] * 3) for i in range(len(palette) // 4))


def _count_colors(image: npt.NDArray[np.uint8]) -> int:
    pixels = image.reshape(-1, 3)
    sampled = _distinct(pixels[:: max(1, len(pixels) // 4096) | 1])
    return sampled if sampled > FLAT else _distinct(pixels)


def _distinct(pixels: npt.NDArray[np.uint8]) -> int:
    import numpy as np

    codes = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    return len(np.unique(codes))
