"""Distinct colors of an image against NumPy, at every size that is counted in its own way."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.sources.examining.colors import MAX_COUNTED_COLORS, count_colors


@pytest.mark.parametrize("num_colors", [1, 2, MAX_COUNTED_COLORS])
@pytest.mark.parametrize("side", [8, 64, 300, 700])
def test_few_colors_are_counted_exactly(side: int, num_colors: int) -> None:
    rng = np.random.default_rng(side)
    palette = rng.integers(0, 256, (num_colors, 3), np.uint8)
    # All but a few pixels have one color, so that samples miss the others.
    rare = rng.permutation(side * side)[: num_colors - 1]
    indices = np.zeros(side * side, np.int64)
    indices[rare] = np.arange(1, len(rare) + 1)
    pixels = palette[indices].reshape(side, side, 3)
    assert count_colors(pixels) == len(np.unique(pixels.reshape(-1, 3), axis=0))
