"""Memory that it takes to decode an image."""

from __future__ import annotations

from pipelines.sources.examining.jpeg_damage import PROGRESSIVE, read_jpeg_frame

_BYTES_PER_PIXEL = 8  # Decoded as RGB and alpha, and once more as RGB or as a PNG.


def estimate_memory(kind: str, content: bytes, num_pixels: int, reduction: int) -> int:
    """Returns about how many bytes it takes to decode an image.

    Args:
        kind: Its format, a row of FORMATS that is read.
        content: The bytes of the file.
        num_pixels: Width times height.
        reduction: By how much a JPEG is reduced, 1 to 8.
    """
    if kind != "JPEG":
        return num_pixels * _BYTES_PER_PIXEL
    frame = read_jpeg_frame(content)
    # A progressive one keeps the coefficients of all pixels; a row at a time is decoded else.
    if frame is not None and frame.kind in PROGRESSIVE:
        return num_pixels * _BYTES_PER_PIXEL
    return num_pixels // 4 + 3 * num_pixels // reduction**2
