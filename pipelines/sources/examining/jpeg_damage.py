"""Damage of JPEG files, by libjpeg's own warnings and by what depends on missing bytes.

TensorFlow's decoder prints these warnings, without a name, whenever it meets the file;
simplejpeg, which bundles the same library, raises the first of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.sources.examining.damage import LACKS_END, Damage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PROGRESSIVE = (0xC2, 0xCA)
"""Kinds of frames whose coefficients come in several scans."""

_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = b"\xff\xda"
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_SEQUENTIAL = (0xC0, 0xC1)
_BLOCK_ROWS = 16
_HIDDEN_SHARE = 0.02
"""Largest share of the pixels that missing last bytes may hide."""


@dataclass(frozen=True)
class JpegFrame:
    """What the frame header of a JPEG says.

    Args:
        kind: Low byte of its marker: 0xC0 baseline, 0xC2 progressive, …
        bits: Bits of a sample, usually 8.
        components: Numbers of the color components.
        end: Position in the file after the header.
    """

    kind: int
    bits: int
    components: tuple[int, ...]
    end: int


class UnsupportedJpegError(ValueError):
    """A JPEG that the strict decoder does not know; another one may."""


def read_jpeg_frame(content: bytes) -> JpegFrame | None:
    """Reads the frame header of a JPEG; None if there is none before the pixels."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        if marker in _FRAMES:
            body = content[position + 4 : end]
            components = [body[i : i + 3] for i in range(6, len(body) - 2, 3)]
            if not components:
                return None
            return JpegFrame(marker, body[0], tuple(c[0] for c in components), end)
        if marker == 0xDA:
            return None
        position = end
    return None


def decode_jpeg_strictly(
    content: bytes, reduction: int = 1
) -> tuple[npt.NDArray[np.uint8] | None, Damage | None]:
    """Decodes a JPEG, at a reduced size if that is enough, and finds its damage.

    All of its data is decoded up to the pixels' frequencies, so that damage anywhere is
    found; the reduction saves the rest.

    Args:
        content: The bytes of the file.
        reduction: Divides both sides: 1, 2, 4 or 8.

    Returns:
        uint8 [⌈H / r⌉, ⌈W / r⌉, 3] as stored, not upright, or None where it is damaged; and the
        damage. The pixels are those of `tf.io.decode_jpeg` with this ratio and the accurate DCT;
        of CMYK up to one.

    Raises:
        UnsupportedJpegError: The decoder does not know this kind, or reads nothing of it.
    """
    try:
        return _decode(content, reduction=reduction), None
    except ValueError as error:
        warning = str(error)
    try:
        _decode(content, strict=False, reduction=8)
    except ValueError as error:
        raise UnsupportedJpegError(str(error)) from None
    return None, _judge_warning(content, warning)


def _decode(content: bytes, *, strict: bool = True, reduction: int = 1) -> npt.NDArray[np.uint8]:
    import simplejpeg

    smallest = {}
    try:
        if reduction > 1:
            height, width, *_ = simplejpeg.decode_jpeg_header(content, strict=strict)
            # The largest reduction that leaves this size.
            smallest = {"min_height": -(-height // reduction), "min_width": -(-width // reduction)}
        return simplejpeg.decode_jpeg(content, strict=strict, **smallest)
    except LookupError as error:  # a color space or sampling that it has no name for
        raise ValueError(f"unknown kind {error}") from None


def _judge_warning(content: bytes, warning: str) -> Damage:
    text = warning.removeprefix("Corrupt JPEG data: ")
    if warning.startswith("Premature end of JPEG"):
        if _is_whole_without_end(content):
            return Damage(LACKS_END, partial=False)
        return Damage("cut off", partial=True)
    stray = re.search(r"(\d+) extraneous bytes before marker 0xd9", warning)
    if stray and _is_padded(content, int(stray[1])):
        return Damage("stray bytes before its end", partial=False)
    return Damage(f"damaged JPEG: {text}", partial=True)


def _is_padded(content: bytes, count: int) -> bool:
    """Whether the bytes before the end are all the same, so that they are no pixels."""
    end = content.rfind(_END_OF_IMAGE)
    return len(set(content[end - count : end])) == 1


def _is_whole_without_end(content: bytes) -> bool:
    """Whether a JPEG that ends too early shows all but a few of its pixels.

    Those are there that do not depend on what might have followed.
    """
    import numpy as np

    frame = read_jpeg_frame(content)
    if frame is None or not _has_all_scans(content, frame):
        return False
    try:
        _decode(content + _END_OF_IMAGE, reduction=8)
    except ValueError:
        pass
    else:
        return True
    content = content.removesuffix(b"\xff")  # half of a marker
    tails = (b"\x55" * 64, b"\xaa" * 64)
    one, other = (_decode(content + tail + _END_OF_IMAGE, strict=False) for tail in tails)
    changed = (one != other).any(axis=2)
    if not changed.any():
        return True
    height, width = changed.shape
    top = int(np.argmax(changed.any(axis=1)))
    band = min(_BLOCK_ROWS, height - top)
    left = int(np.argmax(changed[top : top + band].any(axis=0)))
    # Behind the first block that changes, all are lost: the rest of its band, and all below.
    hidden = band * (width - left) + (height - top - band) * width
    return hidden <= _HIDDEN_SHARE * height * width


def _has_all_scans(content: bytes, frame: JpegFrame) -> bool:
    """Whether the last scan of a JPEG has begun, the one that completes its coefficients."""
    if frame.kind in _SEQUENTIAL:
        return True
    # Pixels hold no marker, so each of these bytes starts a scan.
    missing = {(component, k): 1 for component in frame.components for k in range(64)}
    position = content.find(_START_OF_SCAN, frame.end)
    while position >= 0:
        body = content[position + 4 : position + 18]
        count = body[0] if body else 0
        parameters = body[1 + 2 * count : 4 + 2 * count]
        if len(parameters) < 3:
            return False
        first, last, approximation = parameters
        for component in body[1 : 1 + 2 * count : 2]:
            # Its low half: how many bits of the coefficients are still to come.
            for k in range(first, last + 1):
                missing[component, k] = approximation & 15
        position = content.find(_START_OF_SCAN, position + 2)
    return not any(missing.values())
