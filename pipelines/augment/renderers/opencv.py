"""OpenCV renderer: uint8 throughout, on the CPU, one thread per batch.

The graph renders a batch in one call to Python. OpenCV releases the interpreter lock in
every kernel, so batches rendered in parallel use all processors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.augment.base import FilterOperation, GeometryOperation
from pipelines.augment.plan import AugmentationPlan, ViewParameters
from pipelines.augment.renderers.opencv_filters import Image, Kernel, build_kernel
from pipelines.augment.renderers.resampling import Resampling, compute_resampling
from zoo.decoding.image_decoder import whole_frame
from zoo.preprocessing import Preprocessing

Arguments = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

BORDERS = {
    "reflect": cv2.BORDER_REFLECT_101,
    "edge": cv2.BORDER_REPLICATE,
    "black": cv2.BORDER_CONSTANT,
}

# OpenCV warps four channels at once faster than three separately, with identical bits. From
# this view size on, in pixels, the gain exceeds the cost of adding and dropping the fourth.
MIN_RGBA_SIZE = 96
_WARP_FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

# Batches are already rendered in parallel; OpenCV's own threads would only contend with them.
cv2.setNumThreads(1)


class OpenCVRenderer:
    """Renders batches with OpenCV.

    Args:
        plan: The policy.
        preprocessing: The evaluation transform, with the view size S.
        border: Pixels beyond the image, a key of BORDERS.
    """

    def __init__(self, plan: AugmentationPlan, preprocessing: Preprocessing, border: str) -> None:
        self.preprocessing = preprocessing
        self.border = BORDERS[border]
        self.has_geometry = bool(plan.select(GeometryOperation))
        self.kernels = [build_kernel(op) for op in plan.select(FilterOperation)]

    def render(self, images: Any, views: ViewParameters) -> Any:
        """Renders one view each of a batch of images of one size, in the graph or eagerly.

        Args:
            images: uint8 [B, H, W, 3]; where the policy has no geometry, [B, S, S, 3]
                from the evaluation transform.
            views: The sampled views.

        Returns:
            uint8 [B, S, S, 3].
        """
        import tensorflow as tf

        frames = tf.broadcast_to(whole_frame(images[0]), [tf.shape(images)[0], 4])
        return self.render_fetched(list, images, frames, views)

    def render_one(self, image: Any, views: ViewParameters, frame: Any = None) -> Any:
        """Renders several views of one image, in the graph or eagerly.

        Args:
            image: uint8 [H, W, 3]; where the policy has no geometry, [S, S, 3] from the
                evaluation transform.
            views: V sampled views.
            frame: As of `ImageDecoder.decode`; None takes all pixels for the image.

        Returns:
            uint8 [V, S, S, 3].
        """
        import tensorflow as tf

        frame = whole_frame(image) if frame is None else frame
        frames = tf.broadcast_to(frame, [tf.shape(views.color)[0], 4])
        return self.render_fetched(itertools.repeat, image, frames, views)

    def render_fetched(
        self,
        fetch: Callable[[Any], Iterable[Image]],
        request: Any,
        frames: Any,
        views: ViewParameters,
    ) -> Any:
        """Renders one view each of images in host memory, without copying them into the graph.

        Args:
            fetch: Maps the NumPy value of `request` to at least B images uint8 [H, W, 3].
            request: A tensor that identifies the images, such as their indices.
            frames: float32 [B, 4], as of `ImageDecoder.decode`.
            views: The sampled views.

        Returns:
            uint8 [B, S, S, 3].
        """
        import tensorflow as tf

        resampling = (
            compute_resampling(views.matrix, frames, self.preprocessing)
            if self.has_geometry
            else ()
        )
        inputs = [request, views.color, views.filters, resampling]

        def render(*flat: Any) -> Image:
            request, color, filters, resampling = tf.nest.pack_sequence_as(inputs, flat)
            return self._render(fetch(request), resampling, color, filters)

        rendered = tf.numpy_function(render, tf.nest.flatten(inputs), tf.uint8, stateful=False)
        size = self.preprocessing.size
        return tf.ensure_shape(rendered, (views.color.shape[0], size, size, 3))

    def mix(self, images: Any, arguments: Any) -> Any:
        """Mixes each image with the next one of its batch.

        Args:
            images: uint8 [B, S, S, 3].
            arguments: float32 [B, 5], an entry of `ViewParameters.mixing`.

        Returns:
            uint8 [B, S, S, 3].
        """
        import tensorflow as tf

        mixed = tf.numpy_function(_mix, [images, arguments], tf.uint8, stateful=False)
        return tf.ensure_shape(mixed, images.shape)

    def _render(
        self,
        images: Iterable[Image],
        resampling: Resampling | tuple[()],
        color: Arguments,
        filters: Sequence[Arguments],
    ) -> Image:
        size = self.preprocessing.size
        views = allocate_aligned((len(color), size, size, 3))
        rgba = np.empty((size, size, 4), np.uint8) if size >= MIN_RGBA_SIZE else None
        # Conditions are computed for the whole batch: rendering an image of 32 px takes less
        # time than a few NumPy calls about it.
        identity = np.eye(3, 4, dtype=np.float32)
        recolored: list[bool] = (color != identity).any((1, 2)).tolist()
        if isinstance(resampling, Resampling):
            shrunk = (resampling.smoothing.any(1) | (resampling.block.max(1) > 1)).tolist()
            projective = resampling.matrix[:, 2, :2].any(1).tolist()
            extents = _compute_extents(resampling.matrix, size)
        steps: list[tuple[Kernel, Any, Any]] = [
            (kernel, arguments.any(1).tolist(), arguments.tolist())
            for kernel, arguments in zip(self.kernels, filters, strict=True)
        ]
        for i, (image, view) in enumerate(zip(images, views, strict=False)):
            if isinstance(resampling, Resampling):
                matrix = resampling.matrix[i]
                if shrunk[i]:
                    own = Resampling(*(field[i] for field in resampling))
                    image, matrix = _shrink(image, own, extents[i])
                self._warp(image, matrix, view, rgba, projective=projective[i])
            else:
                np.copyto(view, image)
            if recolored[i]:
                cv2.transform(view, color[i], view)
            for kernel, applied, arguments in steps:
                if applied[i]:
                    kernel(view, *arguments[i])
        return views

    def _warp(
        self, image: Image, matrix: Matrix, view: Image, rgba: Image | None, *, projective: bool
    ) -> None:
        """Warps an image into a view, through a four-channel buffer where one is given."""
        warp = cv2.warpPerspective if projective else cv2.warpAffine
        matrix = matrix if projective else matrix[:2]
        size = self.preprocessing.size, self.preprocessing.size
        if rgba is None:
            warp(image, matrix, size, view, _WARP_FLAGS, self.border)
        else:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
            warp(image, matrix, size, rgba, _WARP_FLAGS, self.border)
            cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB, view)


def allocate_aligned(shape: tuple[int, ...]) -> Image:
    """Allocates an uninitialized uint8 array that TensorFlow adopts without a copy.

    Args:
        shape: Shape of the array.

    Returns:
        uint8, contiguous, at an address divisible by 64 bytes; TensorFlow copies arrays
        at any other address.
    """
    alignment = 64  # bytes
    count = int(np.prod(shape))
    memory = np.empty(count + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + count].reshape(shape)


def _compute_extents(matrices: Matrix, size: int) -> Matrix:
    """Computes the smallest and largest (x, y) that each view reads, [B, 2, 2], after blocks."""
    last = size - 1
    corners = np.array([[0, last, last, 0], [0, 0, last, last], [1, 1, 1, 1]], float)
    projected = matrices @ corners  # [B, 3, 4]
    points = projected[:, :2] / projected[:, 2:]
    return np.stack([points.min(axis=2), points.max(axis=2)], axis=1)


def _shrink(image: Image, resampling: Resampling, extent: Matrix) -> tuple[Image, Matrix]:
    """Averages blocks and smooths the visible part of an image.

    Args:
        image: uint8 [H, W, 3].
        resampling: The image's own entry of the batch.
        extent: float64 [2, 2], its row of `_compute_extents`.

    Returns:
        The visible part, and the matrix that reads it.
    """
    block_width, block_height = resampling.block.tolist()
    width, height = image.shape[1] // block_width, image.shape[0] // block_height
    (left, top), (right, bottom) = extent.tolist()
    x0, y0, x1, y1 = 0, 0, width, height
    if left > -1 and top > -1 and right < width and bottom < height:
        # The view shows no border. One more pixel for interpolation, two for smoothing.
        x0, y0 = max(int(left) - 3, 0), max(int(top) - 3, 0)
        x1, y1 = min(int(right) + 5, width), min(int(bottom) + 5, height)
    part = image[y0 * block_height : y1 * block_height, x0 * block_width : x1 * block_width]
    if max(block_width, block_height) > 1:
        part = cv2.resize(part, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    if resampling.smoothing.any():
        x_kernel, y_kernel = (_build_smoothing_kernel(a) for a in resampling.smoothing.tolist())
        part = cv2.sepFilter2D(part, -1, x_kernel, y_kernel)
    matrix: Matrix = resampling.matrix
    if x0 or y0:
        matrix = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]]) @ matrix
    return part, matrix


def _build_smoothing_kernel(smoothing: float) -> npt.NDArray[np.float64]:
    """Builds both kernels of `Resampling.smoothing` as one."""
    first = min(smoothing, 0.25)
    second = smoothing - first
    kernel = np.array([first, 1 - 2 * first, first])
    return np.convolve(kernel, [second, 1 - 2 * second, second]) if second else kernel


def _mix(images: Image, arguments: Arguments) -> Image:
    mixed = allocate_aligned(images.shape)
    np.copyto(mixed, images)
    for i, (fraction, *rectangle) in enumerate(arguments.tolist()):
        partner = images[(i + 1) % len(images)]
        if fraction:
            cv2.addWeighted(images[i], 1 - fraction, partner, fraction, 0, dst=mixed[i])
        top, left, height, width = map(int, rectangle)
        rows, columns = slice(top, top + height), slice(left, left + width)
        mixed[i, rows, columns] = partner[rows, columns]
    return mixed
