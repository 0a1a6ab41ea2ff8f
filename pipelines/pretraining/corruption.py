"""Corruption: noise and masked squares, from which an autoencoder restores an image.

A backbone's features often hold more numbers than the image, so copying an intact image
would teach nothing. The input is therefore a noisy image (denoising autoencoder, Vincent et
al., 2008, https://doi.org/10.1145/1390156.1390294) with squares masked (He et al., 2022,
https://arxiv.org/abs/2111.06377).
"""

from __future__ import annotations

from typing import Any

from pipelines.input_pipeline.tf_data import map_graph
from pipelines.recipe.pretraining import PretrainingConfig

_GRID = 8
"""Squares along each side of an image, each masked or visible."""


def corrupt(batches: Any, config: PretrainingConfig, *, seed: int, first: int = 0) -> Any:
    """Maps batches of images to pairs of corrupted and intact ones.

    Args:
        batches: A `tf.data.Dataset` of uint8 [B, S, S, 3], labels, and optionally sample
            weights float32 [B].
        config: Noise and share of masked squares.
        seed: Seed; a batch's corruption depends on it and the batch's number alone.
        first: The number of the first batch.

    Returns:
        A `tf.data.Dataset` of corrupted images float32 [B, S, S, 3] in about 0 to 255, the
        intact ones in 0 to 1, and float32 [B, 1, 1] where there are sample weights.
    """
    import tensorflow as tf

    def corrupt_batch(number: Any, batch: Any) -> tuple[Any, ...]:
        images, _, *weights = batch
        images = tf.cast(images, tf.float32)
        size, count = images.shape[1], tf.shape(images)[0]
        key = tf.stack([tf.cast(seed, tf.int64), number])
        squares = tf.random.stateless_uniform((count, _GRID, _GRID, 1), key)
        visible = tf.image.resize(squares, (size, size), "nearest") >= config.masked_fraction
        # A masked square shows the image's mean color, which reveals least of it.
        mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
        noise = 255 * config.noise_std * tf.random.stateless_normal(tf.shape(images), key + 1)
        weights = [weight[:, tf.newaxis, tf.newaxis] for weight in weights]
        return tf.where(visible, images, mean) + noise, images / 255, *weights

    return map_graph(batches.enumerate(first), corrupt_batch)
