"""Depth of PNG files of 16 bits, measured over the training images before anything is trained."""

from __future__ import annotations

import logging

import numpy as np

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Examples

logger = logging.getLogger(__name__)

_FULL_DEPTH = 16
_SAMPLED = 256
"""Training images whose header is read to tell files of 16 bits that use 8 from files of 8."""


def measure_input_depth(recipe: ResolvedRecipe, train: Examples) -> ResolvedRecipe:
    """Decides `input.depth` where it is `auto`: as many bits as the training images need.

    Args:
        recipe: The recipe.
        train: The training images, scanned.

    Returns:
        The recipe with a number of bits; 16 where no image has 16.
    """
    if recipe.input.depth != "auto":
        return recipe
    depth = _FULL_DEPTH
    if train.bits is not None and len(train):
        found = int(train.bits.max())
        if found > 8 or _has_deep_png(train):
            depth = found
    if depth < _FULL_DEPTH:
        logger.info(f"PNG files of 16 bits use {depth} of them: input.depth={depth}")
    return recipe.with_depth(depth)


def _has_deep_png(examples: Examples) -> bool:
    """Whether any of some evenly spaced images is a PNG of 16 bits."""
    count = min(_SAMPLED, len(examples))
    indices = np.linspace(0, len(examples) - 1, count).astype(np.int64)
    heads = (_read_head(examples, index) for index in indices.tolist())
    return any(head.startswith(b"\x89PNG") and head[24:] == b"\x10" for head in heads)


def _read_head(examples: Examples, index: int) -> bytes:
    """Returns the first bytes of an image; none where its file, known by features, is gone."""
    try:
        return examples.read(index)[:25]
    except FileNotFoundError:
        return b""
