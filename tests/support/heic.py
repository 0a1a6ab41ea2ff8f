"""A small HEIC file, which nothing that the tests install can write."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt

_FILE = (
    "AAAAGGZ0eXBoZWljAAAAAG1pZjFoZWljAAABMG1ldGEAAAAAAAAAIWhkbHIAAAAAAAAAAHBpY3QAAAAAAAAAAAAAAAAA"
    "AAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABUAAAAuYAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAALRpcHJwAAAAlmlwY28AAABxaHZjQwEECAAAAJ+oAAAAAB7wAPz9+PgAAA8DoAABABdAAQwB//8E"
    "CAAAAwCfqAAAAwAAHroCQKEAAQAmQgEBBAgAAAMAn6gAAAMAAB6gIIMWW6uTK5oCAAADAAIAAAMAAhCiAAEABkQBwXPA"
    "iQAAABRpc3BlAAAAAAAAAEAAAAAwAAAACWlyb3QDAAAAFmlwbWEAAAAAAAAAAQABA4ECgwAAAu5tZGF0AAAC4igBrwR4"
    "6ospCYHJIhFv/6syhQAA3BZgl7z20RmDtY63jABN4tALrTyRUzJr3PNjTurcHyXU/P/7NIibEi8kwbSowUafwDcHg+tO"
    "01IUIF0xhZCFCE4YGtGdPsa32KKiELT5oXXtsBB7yNofe2BhMGpORdp+tnUQvyaKoBd2WodGgeoiY0kPnKb3+wN6FyC3"
    "stuTh+NrqmR/YZufMt60bbdD4l3BF/5gou3tfRCJJG9mdYODq67vzCIBYKTaARwB/GOfj5k7OTZD2sQE2VkDduMd/fBI"
    "gYOfrCrQcy0E5fLO6UX9yx2v9JvvETbzzv1ptbCtcF9oyF/ueoOBLo4DT05PH+goUXFbVnY6EDGkd+0V2Cde7yW3Ro4i"
    "n8rGK2kyt0IQgsutyKBonvh2sEaxsSm+wjbC9BYrr3XF9wp8Ixin3d4H/vX8kuA7iDyqM4KIZc/7NSl0kX5IjPruhIqj"
    "okfXMrlSm9VXblxT4JAbqZp2z7i41iOMGwR1FvGnU1rNf3DZaT0ihUgv69mbUxikJcIZvWyAFk50h+0RLuU5usofku6T"
    "9Au1cMPj4PhzMR77JEus/0U1+R6PG3U1VLlwEv/m4eK6/t/FLNQow9bKAzYXjhTKcwbUBj5DhZGjpxNXO2X45l3yy968"
    "GDp3OIDtRlYejv6CsVjWp+MMAm2rW1d7NfoeRd7IAZFubFUYneUsfGv8xtiRzkS7cwfQU85tcX/gjEeyyuxLp7MNY2lD"
    "rxsEMZUTu1IvCPTQDB8IXiMFq31DMJju10jRahMucxfIUr1Ygln0hSY/PmcI9B9mmARcWG7/kEifP43RPmycafqbVZK8"
    "PJQMJc5ucN0yMIJqyJTr8WGKyunQgK8tq7ZfrADDx+fC3XUPEooGf2jEi/x/J/NY7qrwJ09NdGMNYlQtzRv+XTVzmcHm"
    "EvrHoAeqQ1N8DknVZKXeSA2PNhDbgkRm/HLn3eGSA7c68srxuYZP0aphHA=="
)

HEIC = base64.b64decode(_FILE)
"""One picture, HEVC in a HEIF container, to be turned by its property `irot`."""


def draw_heic() -> npt.NDArray[np.uint8]:
    """Returns what HEIC was made from, upright, uint8 [64, 48, 3]."""
    rows, columns = np.mgrid[:48, :64]
    pixels = np.stack([columns * 4, rows * 5, np.full_like(rows, 60)], axis=-1).astype(np.uint8)
    pixels[4:20, 4:30] = (255, 0, 0)
    pixels[28:44, 34:60] = (0, 0, 255)
    return np.rot90(pixels, 3).copy()
