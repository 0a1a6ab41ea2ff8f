"""Images that the scan decoded, kept in memory for what reads them next.

The scan of a new file decodes it, and so does whatever uses it afterwards: the extraction of
features, each of their views, a training on images. Those that fit into memory are decoded once.
"""

from __future__ import annotations

import threading
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipelines.sources.columns import KeyIndex
from pipelines.sources.examining.conversion import turn
from pipelines.sources.examining.decoding_memory import estimate_memory
from pipelines.sources.examining.examination import DECODING_BUDGET, Examination
from zoo.decoding.image_decoder import WHITE, ImageDecoder
from zoo.decoding.orientation import turn_frame

if TYPE_CHECKING:
    import numpy.typing as npt


_DEEP = 16
"""Bits of a color that `input.depth` is about."""


class KeptImages:
    """Decoded images by the digest of their files, in one buffer of limited size.

    Threads may add images at the same time. Which ones are kept when not all fit depends on
    them; what is read in the end does not, since an image that was not kept is decoded anew.

    Args:
        decoder: How they are decoded.
        limit_mib: Size of the buffer in MiB. Memory is taken as images are added.
    """

    def __init__(self, decoder: ImageDecoder, limit_mib: int) -> None:
        self.decoder = decoder
        self.pixels = np.empty(limit_mib * 2**20, np.uint8)
        self._digests = bytearray()
        self._places = array("q")  # start, height and width of each image
        self._frames = array("f")
        self._size = 0
        self._lock = threading.Lock()
        self._index: KeyIndex | None = None

    def __len__(self) -> int:
        return len(self._digests) // 32

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """int64 [M, 3]: where each image starts in `pixels`, its height and its width."""
        return np.array(self._places, np.int64).reshape(-1, 3)

    @property
    def frames(self) -> npt.NDArray[np.float32]:
        """float32 [M, 4]: the frame of each image, as of `ImageDecoder.decode`."""
        return np.array(self._frames, np.float32).reshape(-1, 4)

    def find_for(
        self,
        decoder: ImageDecoder,
        digests: npt.NDArray[np.uint8],
        shapes: npt.NDArray[np.int64] | None,
    ) -> npt.NDArray[np.int64]:
        """Returns where the images are that a decoder would yield; see `find`.

        Args:
            decoder: Another one, perhaps, which yields the same of some files.
            digests: SHA-256 of the files, uint8 [N, 32].
            shapes: int64 [N, 2], height and width of the whole images; None if unknown.
        """
        own = self.decoder
        if decoder == own:
            return self.find(digests)
        missing = np.full(len(digests), -1, np.int64)
        alike = replace(decoder, depth=own.depth, needed=own.needed, longer=own.longer)
        if alike != own or shapes is None:
            return missing
        same_size = own.reductions(shapes) == decoder.reductions(shapes)
        return np.where(same_size, self.find(digests), missing)

    def keep(self, content: bytes, found: Examination) -> None:
        """Keeps an image that was examined if there is room for it.

        Args:
            content: The bytes of its file.
            found: What was found, with its pixels, which are decoded only once.
        """
        import tensorflow as tf

        scan, image = found.scan, found.image
        reduction = 1
        is_jpeg = scan.format == "JPEG"
        if is_jpeg and found.pixels is None:
            shape = np.array([[scan.height, scan.width]], np.int64)
            reduction = int(self.decoder.reductions(shape)[0])
        num_pixels = (scan.width // reduction) * (scan.height // reduction)
        if self._size + 3 * num_pixels > len(self.pixels):
            return
        if scan.format == "PNG" and content[24] == _DEEP:
            return  # decoded by a depth that is measured over all images
        if image is None or (
            found.reduction != reduction if is_jpeg else self.decoder.background != WHITE
        ):
            memory = estimate_memory(scan.format, content, scan.width * scan.height, reduction)
            with DECODING_BUDGET.reserve(memory), tf.device("CPU"):
                image, frame = (part.numpy() for part in self.decoder.decode(tf.constant(content)))
        elif not is_jpeg:
            frame = np.array([0, 0, *image.shape[:2]], np.float32)
        else:
            frame = np.array([0, 0, scan.height / reduction, scan.width / reduction], np.float32)
            image = turn(image, scan.orientation).astype(np.uint8, copy=False)
            if scan.orientation > 1:
                stored = tf.constant(frame[[0, 1, 3, 2]] if scan.orientation > 4 else frame)
                orientation = tf.constant(scan.orientation)
                frame = turn_frame(stored, image.shape[:2], orientation).numpy()
        self.add(bytes.fromhex(scan.sha256), image, frame)

    def add(
        self, digest: bytes, image: npt.NDArray[np.uint8], frame: npt.NDArray[np.float32]
    ) -> bool:
        """Keeps an image if there is room for it.

        Args:
            digest: SHA-256 of its file, 32 bytes.
            image: uint8 [H, W, 3], upright, as the input pipeline decodes it.
            frame: float32 [4], as of `ImageDecoder.decode`.

        Returns:
            Whether it is kept.
        """
        with self._lock:
            start, end = self._size, self._size + image.size
            if end > len(self.pixels):
                return False
            self._size = end
        self.pixels[start:end] = image.reshape(-1)
        with self._lock:
            self._digests += digest
            self._places.extend((start, *image.shape[:2]))
            self._frames.extend(frame.tolist())
            self._index = None
        return True

    def find(self, digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Returns the row in `places` of each image, int64 [N]; -1 where it is not kept.

        Args:
            digests: SHA-256 of the files, uint8 [N, 32].
        """
        with self._lock:
            if self._index is None:
                keys = np.frombuffer(bytes(self._digests), np.uint8).reshape(-1, 32)
                self._index = KeyIndex(keys)
            return self._index.find(digests)
