"""Principal color axes of a split, which the augmentation `pca_noise` varies along."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.augment.color_pca import fit_color_pca
from pipelines.input_pipeline.decoded_images import DecodedImages
from pipelines.sources.source import Examples
from zoo.decoding.image_decoder import ImageDecoder

_MAX_IMAGES = 1000


def fit_color_axes(
    examples: Examples, decoder: ImageDecoder, decoded: DecodedImages | None = None
) -> npt.NDArray[np.float32]:
    """Fits the color axes to at most 1000 images, evenly spaced over a split.

    Args:
        examples: The training split.
        decoder: Decodes its files.
        decoded: The same images decoded; None decodes those that are sampled.

    Returns:
        float32 [3, 3], from `pipelines.augment.color_pca.fit_color_pca`.
    """
    import tensorflow as tf

    count = min(_MAX_IMAGES, len(examples))
    indices = np.linspace(0, len(examples) - 1, count).astype(np.int64)
    if decoded is not None:
        return fit_color_pca(decoded.pick(indices))
    with tf.device("CPU"):
        return fit_color_pca(decoder(tf.constant(examples.read(int(i)))).numpy() for i in indices)
