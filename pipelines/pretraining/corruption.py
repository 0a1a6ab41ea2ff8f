"""Spoiling: what an autoencoder restores images from.

A backbone's features often hold more numbers than its image has, so that restoring it
as it stands would teach nothing: it is restored from a noisy one (denoising
autoencoder, Vincent et al., 2008, https://doi.org/10.1145/1390156.1390294) with
squares of it hidden (He et al., 2022, https://arxiv.org/abs/2111.06377).
"""

from __future__ import annotations

from typing import Any

from pipelines.input_pipeline.tf_data import map_graph
from pipelines.recipe.pretraining import PretrainingConfig

# Squares along each side of an image, which are hidden or not.
_SQUARES = 8


def spoil(batches: Any, config: PretrainingConfig, *, seed: int, first: int = 0) -> Any:
    """Turns batches of images into spoilt ones and what is to become of them.

    Args:
        batches: A `tf.data.Dataset` of uint8 [B, S, S, 3], labels, and perhaps float32
            [B], what each image counts.
        config: How far they are spoilt.
        seed: Of what is drawn, which depends on it and the batch's number alone.
        first: The number of the first batch.

    Returns:
        A `tf.data.Dataset` of float32 [B, S, S, 3] in about 0 to 255, spoilt, the same
        as they were, in 0 to 1, and float32 [B, 1, 1] where images have weights.
    """
    import tensorflow as tf

    def spoil_batch(number: Any, batch: Any) -> tuple[Any, ...]:
        images, _, *weights = batch
        images = tf.cast(images, tf.float32)
        size, count = images.shape[1], tf.shape(images)[0]
        draws = tf.stack([tf.cast(seed, tf.int64), number])
        squares = tf.random.stateless_uniform((count, _SQUARES, _SQUARES, 1), draws)
        seen = tf.image.resize(squares, (size, size), "nearest") >= config.hidden
        # The mean color of an image is what says least about it.
        mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
        noise = 255 * config.noise * tf.random.stateless_normal(tf.shape(images), draws + 1)
        each = [weight[:, tf.newaxis, tf.newaxis] for weight in weights]
        return tf.where(seen, images, mean) + noise, images / 255, *each

    return map_graph(batches.enumerate(first), spoil_batch)
