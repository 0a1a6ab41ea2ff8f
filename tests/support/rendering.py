"""Renders augmentations with parameter values set by the test, and images to render."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scipy import ndimage

from pipelines.augment import AugmentConfig
from pipelines.augment.augmenter import Renderer, build_renderer
from pipelines.augment.base import Context, Operation
from pipelines.augment.plan import Drawn, Plan, Views
from zoo.preprocessing import Preprocessing

Image = npt.NDArray[np.uint8]
RENDERERS = ("opencv", "tensorflow")
# Principal axes of colors in 0 to 1: mostly red against blue, some brightness, little green.
AXES = np.array([[0.09, 0.02, 0.003], [0.01, 0.03, -0.005], [-0.08, 0.02, 0.004]], np.float32)


def textured(height: int, width: int, *, seed: int = 0, smooth: float = 1.0) -> Image:
    """Returns an image with detail at several scales, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    noise = [
        ndimage.gaussian_filter(rng.normal(0, 1, (height, width, 3)), (s, s, 0), mode="wrap")
        for s in (smooth, 4 * smooth, 12 * smooth)
    ]
    image = 120 + sum(60 * n / n.std() for n in noise) / 2
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def plan_of(*operations: Operation, size: int) -> Plan:
    return Plan(operations, Context(size, AXES))


def drawn(operation: Operation, **values: float) -> Drawn:
    """Returns an applied operation with the given values in place of random ones, for one image."""
    tensors = {name: tf.constant([value], tf.float32) for name, value in values.items()}
    return Drawn(operation, tf.constant([True]), tensors)


def renderer_of(plan: Plan, name: str, *, border: str = "reflect", **fit: Any) -> Renderer:
    config = AugmentConfig(policy=plan.operations, renderer=name, border=border)
    return build_renderer(config, plan, Preprocessing(size=plan.context.size, **fit))


def render(
    image: Image,
    *steps: Drawn,
    renderer: str = "opencv",
    size: int = 0,
    border: str = "reflect",
    **fit: Any,
) -> Image:
    """Renders one view of an image; `size` 0 is the image's height."""
    plan = plan_of(*(step.operation for step in steps), size=size or len(image))
    views = plan.compose(steps, tf.zeros(1, tf.int64))
    found = renderer_of(plan, renderer, border=border, **fit).render_one(tf.constant(image), views)
    return np.asarray(found[0])


def sample(plan: Plan, count: int, *, seed: int = 7, number: int = 0) -> Views:
    return plan.sample(tf.constant(seed, tf.int64), *_keys(count, number))


def draw(plan: Plan, count: int, *, seed: int = 7, number: int = 0) -> list[Drawn]:
    """Returns the random parameters of `count` images, as NumPy arrays."""
    found = plan.draw(tf.constant(seed, tf.int64), *_keys(count, number))
    return [
        Drawn(d.operation, d.applied.numpy(), {k: np.asarray(v) for k, v in d.values.items()})
        for d in found
    ]


def _keys(count: int, number: int) -> tuple[Any, Any]:
    return tf.fill([count], tf.constant(number, tf.int64)), tf.range(count, dtype=tf.int64)
