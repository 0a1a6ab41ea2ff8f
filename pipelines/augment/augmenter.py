"""Augmenter: samples, renders and mixes the views of a policy for one seed and view size."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pipelines.augment.base import (
    ColorOperation,
    FilterOperation,
    GeometryOperation,
    SamplingContext,
)
from pipelines.augment.mixing import compute_partner_fraction, mix_labels
from pipelines.augment.plan import AugmentationPlan, ViewParameters
from pipelines.augment.policies import AugmentConfig
from zoo.preprocessing import Preprocessing


class Renderer(Protocol):
    """Renders sampled views; implemented with OpenCV and with TensorFlow operations."""

    def render(self, images: Any, views: ViewParameters) -> Any:
        """Renders one view each of images uint8 [B, H, W, 3] to uint8 [B, S, S, 3]."""

    def render_one(self, image: Any, views: ViewParameters, frame: Any = None) -> Any:
        """Renders V views of one image.

        Args:
            image: uint8 [H, W, 3].
            views: The sampled views.
            frame: As of `ImageDecoder.decode`; None takes all pixels for the image.

        Returns:
            uint8 [V, S, S, 3].
        """

    def mix(self, images: Any, arguments: Any) -> Any:
        """Mixes each of images uint8 [B, S, S, 3] with its partner, the next of the batch."""


@runtime_checkable
class HostRenderer(Renderer, Protocol):
    """A renderer that reads images from host memory without copying them into the graph."""

    def render_fetched(self, fetch: Any, request: Any, frames: Any, views: ViewParameters) -> Any:
        """Renders one view each of images that a Python function fetches.

        Args:
            fetch: Maps the NumPy value of `request` to images uint8 [H, W, 3].
            request: A tensor that identifies the images, such as their indices.
            frames: float32 [B, 4], as of `ImageDecoder.decode`.
            views: The sampled views.

        Returns:
            uint8 [B, S, S, 3].
        """


class Augmenter:
    """Samples and renders views as a function of (seed, pass, image index) alone.

    Args:
        config: The policy, its border and its renderer.
        preprocessing: The evaluation transform; an empty policy renders exactly it.
        seed: Seed of all samples.
        color_axes: float32 [3, 3] from `fit_color_pca`; required by `pca_noise` alone.
    """

    def __init__(
        self,
        config: AugmentConfig,
        preprocessing: Preprocessing,
        seed: int,
        color_axes: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.preprocessing = preprocessing
        self.seed = seed
        context = SamplingContext(preprocessing.size, color_axes)
        self.plan = AugmentationPlan(config.operations, context)
        self.has_geometry = bool(self.plan.select(GeometryOperation))
        self._changes_pixels = self.has_geometry or bool(
            self.plan.select(ColorOperation) or self.plan.select(FilterOperation)
        )
        self.renderer = build_renderer(config, self.plan, preprocessing)

    def sample(self, passes: Any, indices: Any) -> ViewParameters:
        """Samples a batch of views.

        Args:
            passes: int64 [B], the pass over the data, or the view, of each image.
            indices: int64 [B], the index of each image.
        """
        import tensorflow as tf

        return self.plan.sample(tf.constant(self.seed, tf.int64), passes, indices)

    def render(self, image: Any, views: ViewParameters, frame: Any = None) -> Any:
        """Renders several views of one image.

        Args:
            image: uint8 [H, W, 3].
            views: V sampled views.
            frame: As of `ImageDecoder.decode`; None takes all pixels for the image.

        Returns:
            uint8 [V, S, S, 3].
        """
        import tensorflow as tf

        if not self.has_geometry:
            # Without geometry the pixels are bit for bit those of the evaluation transform.
            image = self.preprocessing.fit_image(image, frame)
        if not self._changes_pixels:
            return tf.broadcast_to(image, tf.concat([tf.shape(views.color)[:1], image.shape], 0))
        return self.renderer.render_one(image, views, frame)

    def mix(
        self,
        images: Any,
        labels: dict[str, Any],
        weights: dict[str, Any],
        views: ViewParameters,
    ) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Mixes images, labels and sample weights with those of the next image of the batch.

        Args:
            images: uint8 [B, S, S, 3].
            labels: float32 [B, …] by task.
            weights: float32 [B] by task.
            views: The sampled views of the batch.

        Returns:
            Images, labels and weights of the same shapes and dtypes.
        """
        for arguments in views.mixing:
            images = self.renderer.mix(images, arguments)
            fraction = compute_partner_fraction(arguments, self.preprocessing.size)
            mixed = {n: mix_labels(labels[n], weights[n], fraction) for n in labels}
            labels, weights = ({n: pair[i] for n, pair in mixed.items()} for i in (0, 1))
        return images, labels, weights


def build_renderer(
    config: AugmentConfig, plan: AugmentationPlan, preprocessing: Preprocessing
) -> Renderer:
    """Builds the renderer of a policy.

    Args:
        config: Names the renderer and the border.
        plan: The policy.
        preprocessing: The evaluation transform, with the view size S.
    """
    if config.renderer == "tensorflow":
        from pipelines.augment.renderers.tensorflow import TensorFlowRenderer

        return TensorFlowRenderer(plan, preprocessing, config.border)
    from pipelines.augment.renderers.opencv import OpenCVRenderer

    return OpenCVRenderer(plan, preprocessing, config.border)
