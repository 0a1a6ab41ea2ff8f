"""Embedded data set `digits`: the 1,797 handwritten digits that ship with scikit-learn.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI, 1998.
"""

from __future__ import annotations

import io

from pipelines.sources.source import Examples, Listing


def read_digits(data: str = "digits") -> Listing:
    """Lists scikit-learn's 8x8 scans as gray PNG files in memory, 0 to 255.

    The scans stay 8x8; preprocessing resizes them to the network's input.
    """
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    # The scans measure ink on a scale of 0 to 16.
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    encoded = []
    for scan in pixels:
        buffer = io.BytesIO()
        Image.fromarray(scan).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    examples = Examples(
        names=tuple(f"digits/all/{index:05d}" for index in range(len(encoded))),
        labels=digits.target.astype(np.int64),
        encoded=tuple(encoded),
    )
    return Listing(tuple(str(name) for name in digits.target_names), {"all": examples})
