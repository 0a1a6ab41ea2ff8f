"""Autoencoder: a backbone, and a decoder that restores the image from its features.

images float32 [B, S, S, 3] in 0 to 255
→ normalization → backbone → decoder → restored images float32 [B, S, S, 3], 0 to 1
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zoo.models.classifier import build_features
from zoo.private_api import nested_layers

# The decoder halves its filters from map to map, down to these.
_FEWEST_FILTERS = 32


def build_autoencoder(backbone: str, size: int) -> Any:
    """Builds an autoencoder around a backbone.

    Args:
        backbone: An architecture (random weights) or a file of `zoo pretrain`.
        size: Height and width of the images, in pixels.

    Returns:
        A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to float32 [B, S, S, 3],
        restored in 0 to 1 (and a little beyond); its layer of the architecture's name
        is the backbone.

    Raises:
        RecipeError: `size` is too small for the backbone.
        WeightsError: Its file is not to be had or not the right one.
    """
    import keras

    images, features = build_features(backbone, size, frozen=False)
    return keras.Model(images, _decode(features, size), name="autoencoder")


def _decode(features: Any, size: int) -> Any:
    """Doubles a feature map until it is as large as the image, then makes pixels of it."""
    from keras import layers

    x, side, filters, stage = features, features.shape[1], features.shape[-1], 0
    while side < size:
        stage += 1
        side, filters = min(2 * side, size), max(filters // 2, _FEWEST_FILTERS)
        name = f"decoder{stage}"
        x = layers.Resizing(side, side, interpolation="nearest", name=f"{name}_size")(x)
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        x = layers.Activation("relu", name=f"{name}_relu")(x)
    return layers.Conv2D(3, 3, padding="same", dtype="float32", name="restored")(x)


def fit_batch_norm_statistics(model: Any, batches: Iterable[Any]) -> None:
    """Gives batch normalization the statistics of images it was not trained on.

    Args:
        model: A Keras model. All else in it stays as it is.
        batches: Its inputs; large ones, since each is normalized by itself on the way.
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
        layer.momentum = 0.0  # the statistics of a batch alone
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
