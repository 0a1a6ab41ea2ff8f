"""Statistics of the training images, for normalization and fitted first layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.sources.source import Examples
from zoo.backbones.catalog import resolve
from zoo.normalization import NORMALIZATIONS, Channels, Normalization
from zoo.preprocessing import Preprocessing

# Enough patches for a covariance of 12 channels, few enough to decode in a second.
_MAX_IMAGES = 2000


def channel_statistics(
    examples: Examples, preprocessing: Preprocessing
) -> tuple[Channels, Channels]:
    """Returns the mean and the standard deviation of each channel over all pixels.

    Args:
        examples: The training split; validation and test images must not enter.
        preprocessing: Resizing and cropping before the network, without augmentation.

    Returns:
        Both in 0 to 1, for red, green and blue.
    """
    sums, squares, count = np.zeros(3, np.int64), np.zeros(3, np.int64), 0
    for batch in build_image_dataset(examples, preprocessing, 64).as_numpy_iterator():
        # Integer sums do not depend on the order of addition.
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
    """Returns a recipe's normalization, fitted to the training images where it needs that.

    Args:
        name: A row of NORMALIZATIONS, or `own` for the backbone's.
        backbone: An architecture, or one with its weights.
        examples: The training split.
        preprocessing: Resizing and cropping before the network.
    """
    row, weights = resolve(backbone)
    own = weights.normalization if weights else row.normalization
    normalization = NORMALIZATIONS[own if name == "own" else name]
    if normalization.fit is None:
        return normalization
    return normalization.fitted(*channel_statistics(examples, preprocessing))


def take_evenly(examples: Examples) -> Examples:
    """Returns at most 2,000 images, taken evenly: enough for statistics."""
    count = min(len(examples), _MAX_IMAGES)
    return examples.take(np.linspace(0, len(examples) - 1, count).astype(np.int64))


def fit_stem(
    network: Any,
    backbone: str,
    normalization: Normalization,
    examples: Examples,
    preprocessing: Preprocessing,
) -> None:
    """Fits the first layers of a backbone to the training images, if its row has a fit.

    Args:
        network: The backbone, a Keras model; one with pretrained weights stays as it is.
        backbone: The name it was built with.
        normalization: The fitted normalization before it.
        examples: The training split.
        preprocessing: Resizing and cropping before the network.
    """
    import keras

    row, weights = resolve(backbone)
    if row.fit_stem is None or weights is not None:
        return
    images = build_image_dataset(take_evenly(examples), preprocessing, 256)
    pixels = np.concatenate(list(images.as_numpy_iterator()))
    normalized = normalization.apply(pixels.astype(np.float32))
    row.fit_stem(network, keras.ops.convert_to_numpy(normalized))
