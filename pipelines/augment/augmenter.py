"""Augmenter: a policy bound to a seed and a size; draws views and has them rendered."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pipelines.augment.base import Context
from pipelines.augment.color import Color, PcaNoise
from pipelines.augment.filters import Pixels
from pipelines.augment.geometry import Geometry
from pipelines.augment.mixing import mix_labels, partner_share
from pipelines.augment.plan import Plan, Views
from pipelines.augment.policies import AugmentConfig
from zoo.preprocessing import Preprocessing


class Renderer(Protocol):
    """What draws views; there are one on OpenCV and one in TensorFlow's operations."""

    def render(self, images: Any, views: Views) -> Any:
        """Draws views uint8 [B, S, S, 3] of images uint8 [B, H, W, 3]."""

    def render_one(self, image: Any, views: Views) -> Any:
        """Draws views uint8 [V, S, S, 3] of one image uint8 [H, W, 3]."""

    def mix(self, images: Any, parameters: Any) -> Any:
        """Blends images uint8 [B, S, S, 3] with the next of their batch."""


@runtime_checkable
class HostRenderer(Renderer, Protocol):
    """A renderer that can draw images that lie outside of the graph."""

    def render_picked(self, pick: Any, what: Any, shapes: Any, views: Views) -> Any:
        """Draws views of the images that a function finds.

        Args:
            pick: Maps the NumPy value of `what` to images, uint8 [H, W, 3].
            what: A tensor; which images.
            shapes: int [B, 2], their heights and widths.
            views: What was drawn.

        Returns:
            uint8 [B, S, S, 3].
        """


class Augmenter:
    """Draws and renders views that are functions of (seed, number, place) alone.

    Args:
        config: The policy and what renders it.
        preprocessing: What validation shows, which a policy of nothing shows too.
        seed: Of every draw.
        axes: float32 [3, 3] as `fit_axes` returns them; only `pca_noise` needs them.
    """

    def __init__(
        self,
        config: AugmentConfig,
        preprocessing: Preprocessing,
        seed: int,
        axes: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.preprocessing = preprocessing
        self.seed = seed
        self.plan = Plan(config.policy, Context(preprocessing.size, axes))
        self.moves = bool(self.plan.of(Geometry))
        self.changes = self.moves or bool(self.plan.of(Color) or self.plan.of(Pixels))
        self.renderer = build_renderer(config, self.plan, preprocessing)

    def sample(self, numbers: Any, places: Any) -> Views:
        """Draws a batch of views.

        Args:
            numbers: int64 [B], the pass or the number of the view.
            places: int64 [B], what stands for each image.
        """
        import tensorflow as tf

        return self.plan.sample(tf.constant(self.seed, tf.int64), numbers, places)

    def render(self, image: Any, views: Views) -> Any:
        """Renders several views of one image.

        Args:
            image: uint8 [H, W, 3].
            views: V of them.

        Returns:
            uint8 [V, S, S, 3].
        """
        import tensorflow as tf

        if not self.moves:
            # Where nothing moves pixels, what validation shows, to the last bit.
            image = self.preprocessing.fit_image(image)
        if not self.changes:
            return tf.broadcast_to(image, tf.concat([tf.shape(views.color)[:1], image.shape], 0))
        return self.renderer.render_one(image, views)

    def mix(
        self, images: Any, labels: dict[str, Any], weights: dict[str, Any], views: Views
    ) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Blends images, labels and weights with those of the next image of the batch.

        Args:
            images: uint8 [B, S, S, 3].
            labels: float32 [B, …] by task.
            weights: float32 [B] by task.
            views: What was drawn for the batch.
        """
        for parameters in views.labels:
            images = self.renderer.mix(images, parameters)
            share = partner_share(parameters, self.preprocessing.size)
            mixed = {n: mix_labels(labels[n], weights[n], share) for n in labels}
            labels, weights = ({n: pair[i] for n, pair in mixed.items()} for i in (0, 1))
        return images, labels, weights


def needs_axes(config: AugmentConfig) -> bool:
    """Whether a policy varies colors along the training images' principal components."""
    return bool(Plan(config.policy, Context(8)).of(PcaNoise))


def build_renderer(config: AugmentConfig, plan: Plan, preprocessing: Preprocessing) -> Renderer:
    """Builds what draws a policy.

    Args:
        config: Names the renderer and the border.
        plan: The policy.
        preprocessing: What validation shows.
    """
    if config.renderer == "tensorflow":
        from pipelines.augment.renderers.tensorflow import TensorFlowRenderer

        return TensorFlowRenderer(plan, preprocessing, config.border)
    from pipelines.augment.renderers.opencv import OpenCVRenderer

    return OpenCVRenderer(plan, preprocessing, config.border)
