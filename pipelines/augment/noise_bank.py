"""The noise bank: normal numbers drawn once, of which every image takes a stretch.

Drawing a normal number takes longer than all else that is done to a pixel. So 2^24 of
them are drawn once and kept as bytes. An image takes as many as it has values from a
place of its own, with a sign of its own, both from its key. Within an image they are
independent; two images share a number at the same pixel only if they drew the same
place, 1 in 16 million, and then with a random sign.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

BANK_SIZE = 2**24
"""How many numbers there are; one place in it is exact in float32."""

STEPS = 32
"""Bytes a standard deviation: normal numbers in steps of 1/32, cut off at 127/32 = 3.97.

Both change the variance by less than 0.1 %.
"""


@functools.cache
def noise_bank() -> npt.NDArray[np.uint8]:
    """Returns uint8 [2^24]: 128 + 32 z for independent z ~ N(0, 1), rounded."""
    rng = np.random.Generator(np.random.Philox(key=20120101))
    bank = np.empty(BANK_SIZE, np.uint8)
    chunk = 2**20  # so that the floats take 4 MiB and not 64
    for start in range(0, BANK_SIZE, chunk):
        normal = rng.standard_normal(chunk, dtype=np.float32)
        # Symmetric about 128, so that a change of sign changes nothing else.
        bank[start : start + chunk] = np.clip(np.rint(normal * STEPS), -127, 127) + 128
    bank.flags.writeable = False
    return bank
