"""Image files of every format, decoded in the graph as a viewer shows them.

    bytes ──format──▶ pixels ──alpha──▶ RGB on a background ──orientation──▶ upright

What is usual costs nothing more: a photograph without a tag is the decoder's own result.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.decoding.bmp import decode_bmp
from zoo.decoding.branching import call_if, call_one
from zoo.decoding.byte_strings import take
from zoo.decoding.gif import decode_gif
from zoo.decoding.jpeg import REDUCTIONS, decode_bare_jpeg, decode_jpeg
from zoo.decoding.png import decode_png, is_bare_png
from zoo.decoding.transparency import Color
from zoo.decoding.webp import decode_webp

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

WHITE: Color = (255, 255, 255)
"""The usual color behind transparent pixels."""


@dataclass(frozen=True)
class ImageDecoder:
    """Decodes an image file as Pillow shows it.

    Upright by its EXIF orientation, composited over a background where it is transparent; of
    an animation, the first frame.

    Args:
        background: The color behind transparent pixels.
        depth: How many bits the colors of a PNG of 16 bits use, 8 to 16: the upper eight of
            these become the pixels.
        needed: Pixels that a side of a photograph has to keep: JPEG files are reduced, by the
            largest of REDUCTIONS that leaves as many. 0 decodes them at their full size.
        longer: Whether that is the longer side rather than the shorter one.
    """

    background: Color = WHITE
    depth: int = 16
    needed: int = 0
    longer: bool = False

    def reductions(self, shapes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Computes by how much JPEG files of some sizes are reduced.

        Args:
            shapes: int64 [N, 2], height and width in pixels, upright or not.

        Returns:
            int64 [N], of REDUCTIONS; an image becomes ⌈H / r⌉ × ⌈W / r⌉ pixels.
        """
        import numpy as np

        if not self.needed:
            return np.ones(len(shapes), np.int64)
        sides = shapes.max(axis=1) if self.longer else shapes.min(axis=1)
        indices = np.searchsorted(REDUCTIONS[1:], sides // self.needed, side="right")
        return np.array(REDUCTIONS, np.int64)[indices]

    def __call__(self, encoded: Any) -> Any:
        """Decodes one image file, in the graph or eagerly.

        Args:
            encoded: string [], a JPEG, PNG, GIF, BMP or WebP file.

        Returns:
            uint8 RGB [H, W, 3].

        Raises:
            tf.errors.InvalidArgumentError: The bytes are not an image of these formats.
        """
        return self.decode(encoded)[0]

    def decode(self, encoded: Any) -> tuple[Any, Any]:
        """Decodes one image file, and says which part of its pixels is the image.

        Args:
            encoded: string [], a JPEG, PNG, GIF, BMP or WebP file.

        Returns:
            uint8 RGB [H, W, 3]; and the frame of the image, float32 [4]: top, left, height and
            width, in pixels. It is the whole but for a JPEG with a side that is no multiple of
            the reduction r: 375 rows at r = 2 are 187.5 of 188.

        Raises:
            tf.errors.InvalidArgumentError: The bytes are not an image of these formats.
        """
        image, frame = _trace(self)(encoded)
        return image, frame

    def decode_bytes(self, content: bytes) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Decodes one image file on the CPU, outside of any graph; as `decode`.

        A call of the graph takes a millisecond, more than a small image, and the first one after
        Keras has set a seed a second. The simplest files are decoded by the one operation that
        the graph leaves them to.

        Args:
            content: A JPEG, PNG, GIF, BMP or WebP file.
        """
        import tensorflow as tf

        with tf.device("CPU"):
            if is_bare_png(content):
                image = tf.io.decode_png(content, channels=3)
                frame = whole_frame(image)
            elif bare := decode_bare_jpeg(content, self._reduction if self.needed else None):
                image, frame = bare
            else:
                image, frame = self.decode(tf.constant(content))
            return image.numpy(), frame.numpy()

    def build_graph(self, encoded: Any) -> tuple[Any, Any]:
        """Decodes one image file, inside a graph; as `decode`."""
        import tensorflow as tf

        def decode_other(encoded: Any) -> tuple[Any, Any]:
            image = self._decode_other(encoded)
            return image, whole_frame(image)

        is_jpeg = tf.io.is_jpeg(encoded)
        image, frame = call_if(is_jpeg, self._decode_jpeg, decode_other, encoded)
        return tf.ensure_shape(image, (None, None, 3)), tf.ensure_shape(frame, (4,))

    def _decode_jpeg(self, encoded: Any) -> tuple[Any, Any]:
        return decode_jpeg(encoded, self._choose_reduction if self.needed else None)

    def _reduction(self, height: int, width: int) -> int:
        """Returns one of REDUCTIONS; as `reductions` does."""
        import numpy as np

        return int(self.reductions(np.array([[height, width]]))[0])

    def _choose_reduction(self, height: Any, width: Any) -> Any:
        """Returns an index into REDUCTIONS, int32 []; as `reductions` does."""
        import tensorflow as tf

        side = tf.maximum(height, width) if self.longer else tf.minimum(height, width)
        return tf.searchsorted(REDUCTIONS[1:], [side // self.needed], side="right")[0]

    def _decode_other(self, encoded: Any) -> Any:
        import tensorflow as tf

        head = take(encoded, 0, 12)
        matches = [
            tf.equal(take(head, start, len(text)), text)
            for start, text in ((0, b"\x89PNG"), (0, b"GIF8"), (0, b"BM"), (8, b"WEBP"))
        ]
        # The index of the first match; that of the last branch where there is none.
        index = tf.argmax(tf.cast(tf.stack([*matches, True]), tf.int32), output_type=tf.int32)
        branches = [
            lambda encoded: decode_png(encoded, self.background, self.depth),
            lambda encoded: decode_gif(encoded, self.background),
            lambda encoded: decode_bmp(encoded, self.background),
            lambda encoded: decode_webp(encoded, self.background),
            # Refuses the file, and says why.
            lambda encoded: tf.io.decode_image(encoded, channels=3, expand_animations=False),
        ]
        return call_one(index, branches, encoded)


def whole_frame(image: Any) -> Any:
    """Returns the frame of all pixels, float32 [4]: 0, 0, height and width.

    Args:
        image: uint8 [H, W, 3].
    """
    import tensorflow as tf

    return tf.concat([[0.0, 0.0], tf.cast(tf.shape(image)[:2], tf.float32)], 0)


_TRACING = threading.Lock()


def _trace(decoder: ImageDecoder) -> Callable[[Any], tuple[Any, Any]]:
    """Returns a decoder's graph, which takes half a second to build and is shared by all users.

    One thread builds it: several that call a new `tf.function` at once each wait for it, and
    TensorFlow then warns of a retracing that there was not.
    """
    with _TRACING:
        return _traced(decoder)


@functools.cache
def _traced(decoder: ImageDecoder) -> Callable[[Any], tuple[Any, Any]]:
    import tensorflow as tf

    signature = [tf.TensorSpec((), tf.string)]
    function = tf.function(decoder.build_graph, signature, autograph=False)
    with tf.init_scope():  # in no graph of the caller
        return function.get_concrete_function()
