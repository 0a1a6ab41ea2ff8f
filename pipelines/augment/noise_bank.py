"""Bank of precomputed normal random numbers from which every image takes a slice.

Generating a normal number costs more than all other work on a pixel, so 2^24 of them
are generated once and stored as bytes. An image takes a slice at a random offset with a
random sign, both from its key. Noise within an image is independent. Two images share a
noise value at the same pixel only if they have the same offset, with probability 1 in 16
million, and even then with a random sign.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

BANK_SIZE = 2**24
"""Number of values in the bank; float32 represents every offset into it exactly."""

STEPS_PER_SIGMA = 32
"""Byte steps per standard deviation: values are multiples of σ/32, clipped at ±127/32 σ (3.97).

Rounding and clipping together change the variance by less than 0.1 %.
"""


@functools.cache
def build_noise_bank() -> npt.NDArray[np.uint8]:
    """Builds the bank, once per process.

    Returns:
        uint8 [2^24], read-only: 128 + 32 z, rounded, for independent z ~ N(0, 1).
    """
    rng = np.random.Generator(np.random.Philox(key=20120101))
    bank = np.empty(BANK_SIZE, np.uint8)
    chunk = 2**20  # keeps the float buffer at 4 MiB instead of 64
    for start in range(0, BANK_SIZE, chunk):
        normal = rng.standard_normal(chunk, dtype=np.float32)
        # Symmetric about 128, so that a random sign does not change the distribution.
        scaled = np.clip(np.rint(normal * STEPS_PER_SIGMA), -127, 127)
        bank[start : start + chunk] = scaled + 128
    bank.flags.writeable = False
    return bank
