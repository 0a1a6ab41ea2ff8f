"""Perceptual hashes of a data set's images, which are decoded for it a part at a time."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from pipelines.input_pipeline.decoded_images import decode_images
from pipelines.inspection.perceptual_hash import MIN_SIDE, PerceptualHashes, hash_images
from pipelines.sources.source import Examples
from zoo.decoding.image_decoder import ImageDecoder

logger = logging.getLogger(__name__)

_DECODED_PIXELS = 50_000_000
"""Pixels that are decoded at a time, if not those of one image are more."""

_UNLIMITED_MIB = 2**20


def have_pixels(examples: Examples) -> npt.NDArray[np.bool_]:
    """Returns which images have the pixels that a hash needs, bool [N].

    Args:
        examples: N images; those whose shapes are not known have none.
    """
    if examples.shapes is None:
        return np.zeros(len(examples), bool)
    return np.asarray(examples.shapes.min(axis=1) >= MIN_SIDE)


def hash_examples(examples: Examples, decoder: ImageDecoder) -> PerceptualHashes:
    """Hashes images, as many at a time as memory is meant for.

    Args:
        examples: Images of which `have_pixels` holds.
        decoder: Decodes them.

    Raises:
        DataError: An image changed after it was scanned.
    """
    logger.info(f"comparing the pixels of {len(examples)} images that have similar features")
    shapes = np.zeros((len(examples), 2)) if examples.shapes is None else examples.shapes
    parts = np.cumsum(shapes.prod(axis=1)) // _DECODED_PIXELS
    hashes = []
    for part in np.unique(parts):
        chosen = np.flatnonzero(parts == part)
        decoded = decode_images(examples.take(chosen), decoder, _UNLIMITED_MIB)
        if decoded is not None:
            hashes.append(hash_images(decoded.pick(range(len(chosen)))))
    return PerceptualHashes(
        np.concatenate([part.plain for part in hashes]),
        np.concatenate([part.mirrored for part in hashes]),
    )
