"""Thumbnails inside of an HTML file: small WebP images as data addresses, within a budget."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

from pipelines.sources.source import Examples
from zoo.decoding.image_decoder import ImageDecoder

QUALITY = 78
"""Of WebP, 0 to 100."""

_EXACT_PIXELS = 64 * 64
"""Images of up to so many pixels are stored without loss: at that size it costs little."""


class Thumbnails:
    """Makes thumbnails as long as there is room for them.

    They show what the network is given before it is fitted to the network's size: upright,
    composited over the background, as `zoo.decoding.image_decoder.ImageDecoder` decodes.

    Args:
        budget: Characters that all thumbnails together may take.
        max_images: How many there may be.
    """

    def __init__(self, budget: int, max_images: int) -> None:
        self._left = budget
        self._num_left = max_images

    def embed(
        self, examples: Examples, indices: Iterable[int], decoder: ImageDecoder, side: int
    ) -> dict[int, str]:
        """Returns images as data addresses, the first of them first, until the room is used up.

        Args:
            examples: Images that decode.
            indices: Which of them, the most important first.
            decoder: The decoder of the run.
            side: The longer side in pixels; smaller images keep their size.

        Returns:
            From index to `data:image/webp;base64,…`; without those that had no room.
        """
        found: dict[int, str] = {}
        for index in indices:
            if not self._num_left:
                break
            address = encode_thumbnail(examples.read(index), decoder, side)
            if len(address) > self._left:
                break
            self._left -= len(address)
            self._num_left -= 1
            found[index] = address
        return found


def encode_thumbnail(content: bytes, decoder: ImageDecoder, side: int) -> str:
    """Returns an image file as the data address of a small WebP image.

    Args:
        content: A file in a format that the decoder reads.
        decoder: The decoder of the run.
        side: The longer side in pixels, at most.
    """
    import tensorflow as tf
    from PIL import Image

    with tf.device("CPU"):
        image = Image.fromarray(decoder(tf.constant(content)).numpy())
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    exact = image.width * image.height <= _EXACT_PIXELS
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=4, lossless=exact)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
