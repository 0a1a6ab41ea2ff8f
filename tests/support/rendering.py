"""Renders operations with fixed parameters, and builds images to render."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scipy import ndimage

from pipelines.augment.augmenter import Renderer, build_renderer
from pipelines.augment.base import Operation, SamplingContext
from pipelines.augment.plan import AugmentationPlan, SampledOperation, ViewParameters
from pipelines.augment.policies import AugmentConfig
from zoo.preprocessing import Preprocessing

Image = npt.NDArray[np.uint8]
RENDERERS = ("opencv", "tensorflow")
# For pixels in 0 to 1: strong red against blue, a little brightness, hardly any green.
COLOR_AXES = np.array([[0.09, 0.02, 0.003], [0.01, 0.03, -0.005], [-0.08, 0.02, 0.004]], np.float32)


def build_texture(height: int, width: int, *, seed: int = 0, smooth: float = 1.0) -> Image:
    """Builds an image with detail at every scale, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    noise = [
        ndimage.gaussian_filter(rng.normal(0, 1, (height, width, 3)), (s, s, 0), mode="wrap")
        for s in (smooth, 4 * smooth, 12 * smooth)
    ]
    image = 120 + sum(60 * n / n.std() for n in noise) / 2
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def build_plan(*operations: Operation, size: int) -> AugmentationPlan:
    return AugmentationPlan(operations, SamplingContext(size, COLOR_AXES))


def fix_parameters(operation: Operation, **parameters: float) -> SampledOperation:
    """The operation applied to one image with the given parameters instead of sampled ones."""
    tensors = {name: tf.constant([value], tf.float32) for name, value in parameters.items()}
    return SampledOperation(operation, tf.constant([True]), tensors)


def build_plan_renderer(
    plan: AugmentationPlan, name: str, *, border: str = "reflect", **fit: Any
) -> Renderer:
    config = AugmentConfig(policy=plan.operations, renderer=name, border=border)
    return build_renderer(config, plan, Preprocessing(size=plan.context.size, **fit))


def render(
    image: Image,
    *steps: SampledOperation,
    renderer: str = "opencv",
    size: int = 0,
    border: str = "reflect",
    **fit: Any,
) -> Image:
    """Renders one view of an image; `size` 0 is the image's own height."""
    plan = build_plan(*(step.operation for step in steps), size=size or len(image))
    views = plan.compose(steps, tf.zeros(1, tf.int64))
    built = build_plan_renderer(plan, renderer, border=border, **fit)
    return np.asarray(built.render_one(tf.constant(image), views)[0])


def sample_views(
    plan: AugmentationPlan, count: int, *, seed: int = 7, number: int = 0
) -> ViewParameters:
    """Samples one view each of `count` images in one pass."""
    return plan.sample(tf.constant(seed, tf.int64), *_keys(count, number))


def sample_operations(
    plan: AugmentationPlan, count: int, *, seed: int = 7, number: int = 0
) -> list[SampledOperation]:
    """Samples the parameters of every operation for `count` images, as NumPy arrays."""
    sampled = plan.sample_operations(tf.constant(seed, tf.int64), *_keys(count, number))
    return [
        SampledOperation(
            step.operation,
            step.applied.numpy(),
            {name: np.asarray(value) for name, value in step.parameters.items()},
        )
        for step in sampled
    ]


def _keys(count: int, number: int) -> tuple[Any, Any]:
    return tf.fill([count], tf.constant(number, tf.int64)), tf.range(count, dtype=tf.int64)
