"""The renderer on OpenCV's kernels, for the host: uint8 throughout, one thread a batch.

A batch is drawn by one call from the graph. OpenCV gives up the interpreter's lock in
every kernel, so that batches drawn side by side use all processors.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.augment.filters import (
    BILATERAL_WIDTH,
    FILLS,
    BilateralBlur,
    Erase,
    GaussianBlur,
    GaussianNoise,
    MedianBlur,
    Pixels,
)
from pipelines.augment.geometry import Geometry
from pipelines.augment.noise_bank import noise_bank
from pipelines.augment.plan import Plan, Views
from pipelines.augment.renderers.resampling import Resampling, resample
from zoo.preprocessing import Preprocessing

Image = npt.NDArray[np.uint8]
Parameters = npt.NDArray[np.float32]
Extent = npt.NDArray[np.float64]

BORDERS = {
    "reflect": cv2.BORDER_REFLECT_101,
    "edge": cv2.BORDER_REPLICATE,
    "black": cv2.BORDER_CONSTANT,
}

# OpenCV warps four channels at once in less time than three one by one, to the same bits:
# views of this many pixels a side earn what it costs to add the fourth and to drop it.
WIDE_FROM = 96
_FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

# Batches are drawn side by side already; threads inside of each would only wait.
cv2.setNumThreads(1)


class OpenCVRenderer:
    """Draws batches by OpenCV.

    Args:
        plan: The policy.
        preprocessing: What validation shows, and the size S of a view.
        border: What comes into view from beyond the image, a key of BORDERS.
    """

    def __init__(self, plan: Plan, preprocessing: Preprocessing, border: str) -> None:
        self.preprocessing = preprocessing
        self.dsize = preprocessing.size, preprocessing.size
        self.border = BORDERS[border]
        self.moves = bool(plan.of(Geometry))
        self.kernels = [_kernel(op) for op in plan.of(Pixels)]

    def render(self, images: Any, views: Views) -> Any:
        """Draws views of a batch of images of one size, in the graph or eagerly.

        Args:
            images: uint8 [B, H, W, 3]; [B, S, S, 3], fitted, where nothing moves pixels.
            views: What was drawn.

        Returns:
            uint8 [B, S, S, 3].
        """
        import tensorflow as tf

        shape = tf.shape(images)
        shapes = tf.broadcast_to(shape[1:3], [shape[0], 2])
        return self.render_picked(list, images, shapes, views)

    def render_one(self, image: Any, views: Views) -> Any:
        """Draws several views of one image, in the graph or eagerly.

        Args:
            image: uint8 [H, W, 3]; [S, S, 3], fitted, where nothing moves pixels.
            views: V of them.

        Returns:
            uint8 [V, S, S, 3].
        """
        import tensorflow as tf

        shapes = tf.broadcast_to(tf.shape(image)[:2], [tf.shape(views.color)[0], 2])
        return self.render_picked(itertools.repeat, image, shapes, views)

    def render_picked(
        self, pick: Callable[[Any], Iterable[Image]], what: Any, shapes: Any, views: Views
    ) -> Any:
        """Draws views of images that lie outside of the graph, so that none is copied into it.

        Args:
            pick: Maps the NumPy value of `what` to images, uint8 [H, W, 3], at least B of them.
            what: A tensor; which images.
            shapes: int [B, 2], their heights and widths.
            views: What was drawn.

        Returns:
            uint8 [B, S, S, 3].
        """
        import tensorflow as tf

        placed = resample(views.matrix, shapes, self.preprocessing) if self.moves else ()
        inputs = [what, views.color, views.pixels, placed]

        def draw(*flat: Any) -> Image:
            what, color, pixels, placed = tf.nest.pack_sequence_as(inputs, flat)
            return self._draw(pick(what), placed, color, pixels)

        drawn = tf.numpy_function(draw, tf.nest.flatten(inputs), tf.uint8, stateful=False)
        size = self.preprocessing.size
        return tf.ensure_shape(drawn, (views.color.shape[0], size, size, 3))

    def mix(self, images: Any, parameters: Any) -> Any:
        """Blends each image with the next one of its batch.

        Args:
            images: uint8 [B, S, S, 3].
            parameters: float32 [B, 5], as `Labels.parameters` gives them.

        Returns:
            uint8 [B, S, S, 3].
        """
        import tensorflow as tf

        mixed = tf.numpy_function(_mix, [images, parameters], tf.uint8, stateful=False)
        return tf.ensure_shape(mixed, images.shape)

    def _draw(
        self,
        images: Iterable[Image],
        placed: Resampling | tuple[()],
        color: Parameters,
        pixels: Sequence[Parameters],
    ) -> Image:
        size = self.preprocessing.size
        views = aligned((len(color), size, size, 3))
        wide = np.empty((size, size, 4), np.uint8) if size >= WIDE_FROM else None
        # What can be asked of the whole batch is: an image of 32 px is drawn in less time
        # than NumPy takes for a few questions about it.
        plain = np.eye(3, 4, dtype=np.float32)
        colored: list[bool] = (color != plain).any((1, 2)).tolist()
        if isinstance(placed, Resampling):
            shrunk = (placed.soften.any(1) | (placed.block.max(1) > 1)).tolist()
            bends = placed.matrix[:, 2, :2].any(1).tolist()
            extents = _extents(placed.matrix, size)
        steps: list[tuple[Kernel, Any, Any]] = [
            (kernel, drawn.any(1).tolist(), drawn.tolist())
            for kernel, drawn in zip(self.kernels, pixels, strict=True)
        ]
        for i, (image, view) in enumerate(zip(images, views, strict=False)):
            if isinstance(placed, Resampling):
                matrix = placed.matrix[i]
                if shrunk[i]:
                    part = Resampling(*(part[i] for part in placed))
                    image, matrix = _shrink(image, *part, extents[i])
                self._warp(image, matrix, view, wide, bends=bends[i])
            else:
                np.copyto(view, image)
            if colored[i]:
                cv2.transform(view, color[i], view)
            for kernel, happens, parameters in steps:
                if happens[i]:
                    kernel(view, *parameters[i])
        return views

    def _warp(
        self,
        image: Image,
        matrix: npt.NDArray[np.float64],
        view: Image,
        wide: Image | None,
        *,
        bends: bool,
    ) -> None:
        """Draws a view, by way of memory for four channels, if that is given."""
        warp = cv2.warpPerspective if bends else cv2.warpAffine
        matrix = matrix if bends else matrix[:2]
        if wide is None:
            warp(image, matrix, self.dsize, view, _FLAGS, self.border)
        else:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
            warp(image, matrix, self.dsize, wide, _FLAGS, self.border)
            cv2.cvtColor(wide, cv2.COLOR_RGBA2RGB, view)


def aligned(shape: tuple[int, ...]) -> Image:
    """Returns uint8 memory that TensorFlow takes as it is; memory that begins elsewhere it copies.

    Args:
        shape: Of the array.
    """
    alignment = 64  # bytes
    count = int(np.prod(shape))
    memory = np.empty(count + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + count].reshape(shape)


def _extents(matrices: npt.NDArray[np.float64], size: int) -> Extent:
    """Returns the least and largest x and y that views read, [B, 2, 2], after blocks."""
    last = size - 1
    corners = np.array([[0, last, last, 0], [0, 0, last, last], [1, 1, 1, 1]], float)
    seen = matrices @ corners
    points = seen[:, :2] / seen[:, 2:]
    return np.stack([points.min(axis=2), points.max(axis=2)], axis=1)


def _shrink(
    image: Image,
    matrix: npt.NDArray[np.float64],
    block: npt.NDArray[np.int32],
    soften: npt.NDArray[np.float64],
    extent: Extent,
) -> tuple[Image, npt.NDArray[np.float64]]:
    """Averages blocks and softens, where the view looks; returns that part and its matrix."""
    across, down = block.tolist()
    width, height = image.shape[1] // across, image.shape[0] // down
    (left, top), (right, bottom) = extent.tolist()
    first_x, first_y, last_x, last_y = 0, 0, width, height
    if left > -1 and top > -1 and right < width and bottom < height:
        # Nothing beyond the image is seen. More pixels, one to interpolate, two to soften.
        first_x, first_y = max(int(left) - 3, 0), max(int(top) - 3, 0)
        last_x, last_y = min(int(right) + 5, width), min(int(bottom) + 5, height)
    part = image[first_y * down : last_y * down, first_x * across : last_x * across]
    if max(across, down) > 1:
        part = cv2.resize(part, (last_x - first_x, last_y - first_y), interpolation=cv2.INTER_AREA)
    if soften.any():
        across_it, down_it = (_kernel_of(share) for share in soften.tolist())
        part = cv2.sepFilter2D(part, -1, across_it, down_it)
    if first_x or first_y:
        matrix = np.array([[1, 0, -first_x], [0, 1, -first_y], [0, 0, 1]]) @ matrix
    return part, matrix


def _kernel_of(soften: float) -> npt.NDArray[np.float64]:
    """Both kernels of `Resampling.soften` as one."""
    first = min(soften, 0.25)
    second = soften - first
    kernel = np.array([first, 1 - 2 * first, first])
    return np.convolve(kernel, [second, 1 - 2 * second, second]) if second else kernel


def _mix(images: Image, parameters: Parameters) -> Image:
    mixed = aligned(images.shape)
    np.copyto(mixed, images)
    for i, (share, *box) in enumerate(parameters.tolist()):
        partner = images[(i + 1) % len(images)]
        if share:
            cv2.addWeighted(images[i], 1 - share, partner, share, 0, dst=mixed[i])
        top, left, height, width = map(int, box)
        rows, columns = slice(top, top + height), slice(left, left + width)
        mixed[i, rows, columns] = partner[rows, columns]
    return mixed


Kernel = Callable[..., None]
"""Changes one view, uint8 [S, S, 3], in place, by its parameters."""


def _kernel(operation: Pixels) -> Kernel:
    """Returns what draws a pixel operation."""
    if isinstance(operation, Erase):
        return functools.partial(_erase, fill=operation.fill)
    if isinstance(operation, BilateralBlur):
        return functools.partial(_bilateral, space=operation.space)
    return _KERNELS[type(operation)]


def _gaussian(view: Image, sigma: float) -> None:
    width = 2 * math.ceil(3 * sigma) + 1
    cv2.GaussianBlur(view, (width, width), sigma, dst=view)


def _median(view: Image, reach: float) -> None:
    cv2.medianBlur(view, 2 * int(reach) + 1, dst=view)


def _bilateral(view: Image, color: float, *, space: float) -> None:
    np.copyto(view, cv2.bilateralFilter(view, BILATERAL_WIDTH, color, space))


def _noise(view: Image, scale: float, place: float) -> None:
    # view + scale × (byte − 128), rounded and clipped once.
    cv2.addWeighted(view, 1.0, _stretch(place, view.shape), scale, -128.0 * scale, dst=view)


def _erase(
    view: Image, top: float, left: float, height: float, width: float, place: float, *, fill: str
) -> None:
    hole = view[int(top) : int(top + height), int(left) : int(left + width)]
    if fill == "noise":
        np.copyto(hole, _stretch(place, hole.shape))
    else:
        hole[:] = FILLS[fill]


def _stretch(place: float, shape: tuple[int, ...]) -> Image:
    start = int(place)
    return noise_bank()[start : start + math.prod(shape)].reshape(shape)


_KERNELS: dict[type[Pixels], Kernel] = {
    GaussianBlur: _gaussian,
    MedianBlur: _median,
    GaussianNoise: _noise,
}
