"""Autoencoder: a backbone, and a decoder that reconstructs the image from its features.

images float32 [B, S, S, 3] in 0 to 255
→ normalization → backbone → decoder → images float32 [B, S, S, 3] in 0 to 1
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zoo.models.classifier import build_features
from zoo.private_api import nested_layers

# The decoder halves its filters from stage to stage, down to this many.
_MIN_FILTERS = 32


def build_autoencoder(backbone: str, size: int) -> Any:
    """Builds an autoencoder around a backbone.

    Args:
        backbone: An architecture (random weights) or a file of `zoo pretrain`.
        size: Height and width of the images, in pixels.

    Returns:
        A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to float32 [B, S, S, 3] in 0
        to 1, which it may overshoot a little. The layer named after the architecture is the
        backbone.

    Raises:
        RecipeError: `size` is too small for the backbone.
        WeightsError: Its file cannot be found or is the wrong one.
    """
    import keras

    images, features = build_features(backbone, size, frozen=False)
    return keras.Model(images, _decode(features, size), name="autoencoder")


def _decode(features: Any, size: int) -> Any:
    """Upsamples features [B, h, w, F] by doubling to an image [B, S, S, 3]."""
    from keras import layers

    x, side, filters, stage = features, features.shape[1], features.shape[-1], 0
    while side < size:
        stage += 1
        side, filters = min(2 * side, size), max(filters // 2, _MIN_FILTERS)
        name = f"decoder{stage}"
        x = layers.Resizing(side, side, interpolation="nearest", name=f"{name}_size")(x)
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        x = layers.Activation("relu", name=f"{name}_relu")(x)
    return layers.Conv2D(3, 3, padding="same", dtype="float32", name="restored")(x)


def fit_batch_norm_statistics(model: Any, batches: Iterable[Any]) -> None:
    """Sets the moving statistics of batch normalization to those of the given images.

    Args:
        model: A Keras model; its other weights stay as they are.
        batches: Inputs of the model. Large batches are more accurate, since each is
            normalized by its own statistics.
    """
    import keras
    import numpy as np

    layers = [
        layer
        for layer in nested_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0  # moving statistics become those of the last batch
    sums: list[Any] = [0.0] * len(layers)
    count = 0
    for batch in batches:
        model(batch, training=True)
        count += len(batch)
        for number, layer in enumerate(layers):
            mean = keras.ops.convert_to_numpy(layer.moving_mean).astype(np.float64)
            variance = keras.ops.convert_to_numpy(layer.moving_variance)
            sums[number] += len(batch) * np.stack([mean, variance + mean**2])
    for layer, momentum, (first, second) in zip(layers, momenta, sums, strict=True):
        layer.momentum = momentum
        layer.moving_mean.assign(first / count)
        layer.moving_variance.assign(second / count - (first / count) ** 2)
