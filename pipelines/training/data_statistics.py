"""Statistics: what the training images are like, for what is fitted to them before training."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.sources.source import Examples
from zoo.backbones.catalog import resolve
from zoo.preprocessing import NORMALIZATIONS, Channels, Normalization, Preprocessing

# Enough patches for a covariance of 12 channels, few enough to decode in a second.
_ENOUGH = 2000


def channel_statistics(
    examples: Examples, preprocessing: Preprocessing
) -> tuple[Channels, Channels]:
    """Returns the mean and the standard deviation of each channel over all pixels.

    Args:
        examples: The training split alone: what judges a model must not shape it.
        preprocessing: What an image goes through before the network; nothing is
            augmented.

    Returns:
        Both in 0 to 1, for red, green and blue.
    """
    sums, squares, count = np.zeros(3, np.int64), np.zeros(3, np.int64), 0
    for batch in build_image_dataset(examples, preprocessing, 64).as_numpy_iterator():
        # Whole numbers, so that no order of adding them up matters.
        pixels = batch.reshape(-1, 3).astype(np.int64)
        sums += pixels.sum(axis=0)
        squares += np.square(pixels).sum(axis=0)
        count += len(pixels)
    mean = sums / count
    std = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    return _channels(mean / 255), _channels(std / 255)


def _channels(values: Any) -> Channels:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def fit_normalization(
    name: str, backbone: str, examples: Examples, preprocessing: Preprocessing
) -> Normalization:
    """Returns the normalization that a recipe names, fitted if it has to be.

    Args:
        name: A row of NORMALIZATIONS, or `own` for the backbone's.
        backbone: An architecture, or one with its weights.
        examples: The training split.
        preprocessing: What an image goes through before the network.
    """
    row, weights = resolve(backbone)
    own = weights.normalization if weights else row.normalization
    normalization = NORMALIZATIONS[own if name == "own" else name]
    if normalization.fit is None:
        return normalization
    return normalization.fitted(*channel_statistics(examples, preprocessing))


def spread(examples: Examples) -> Examples:
    """Returns as many of the images as statistics need, spread over all of them."""
    count = min(len(examples), _ENOUGH)
    return examples.take(np.linspace(0, len(examples) - 1, count).astype(np.int64))


def fit_stem(
    network: Any,
    backbone: str,
    normalization: Normalization,
    examples: Examples,
    preprocessing: Preprocessing,
) -> None:
    """Fits the first layers of a backbone with random weights to images, if it wants that.

    Args:
        network: The backbone's model, as `build_backbone` made it.
        backbone: The name it was built with.
        normalization: Fitted; what stands before it.
        examples: The training split.
        preprocessing: What an image goes through before the network.
    """
    import keras

    row, weights = resolve(backbone)
    if row.fit_stem is None or weights is not None:
        return
    images = build_image_dataset(spread(examples), preprocessing, 256)
    pixels = np.concatenate(list(images.as_numpy_iterator()))
    normalized = normalization.apply(pixels.astype(np.float32))
    row.fit_stem(network, keras.ops.convert_to_numpy(normalized))
