"""Number of distinct colors of an image, counted a block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_COUNTED_COLORS = 64
"""Largest number of colors that is counted exactly; a photograph has more."""

_SAMPLED = 4096
_SORTED, _BLOCK = 2**17, 2**20


def count_colors(pixels: npt.NDArray[Any], bits: int = 8) -> int:
    """Counts the distinct colors of an image, on white where it is transparent.

    Args:
        pixels: uint8 or uint16: [H, W] gray, [H, W, 3] RGB or [H, W, 4] RGB and alpha.
        bits: Bits that the largest value of uint16 needs; colors that 8 of them do not tell
            apart count as one.

    Returns:
        The number: exact up to MAX_COUNTED_COLORS, else that among about 4,000 evenly spaced
        pixels. Memory beside the image is bounded.
    """
    import numpy as np

    flat = pixels.reshape(pixels.shape[0] * pixels.shape[1], -1)
    sampled = len(np.unique(_codes(flat[:: max(1, len(flat) // _SAMPLED) | 1], bits)))
    if sampled > MAX_COUNTED_COLORS:
        return sampled
    if len(flat) <= _SORTED:
        return len(np.unique(_codes(flat, bits)))
    # A flag for each color that there can be: 16 MB, and faster than sorting that many pixels.
    seen = np.zeros(2**24, np.bool_)
    for start in range(0, len(flat), _BLOCK):
        seen[_codes(flat[start : start + _BLOCK], bits)] = True
    return int(np.count_nonzero(seen))


def _codes(flat: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint32]:
    """Returns a number of 24 bits for the color of each pixel of [N, C]."""
    import numpy as np

    if flat.dtype == np.uint16:
        alpha, flat = flat[:, 3:] >> 8, flat >> (bits - 8)
        flat = np.concatenate([flat[:, :3], alpha], axis=1)
    values: npt.NDArray[np.uint32] = flat.astype(np.uint32)
    if values.shape[1] == 4:
        opacity, white = values[:, 3:], np.uint32(255)
        values = (values[:, :3] * opacity + white * (white - opacity) + np.uint32(127)) // white
    red, green, blue = (values[:, min(i, values.shape[1] - 1)] for i in range(3))
    codes: npt.NDArray[np.uint32] = (red << 16 | green << 8 | blue).astype(np.uint32, copy=False)
    return codes
