"""Activation maps: where in an image a classifier finds what speaks for a class.

For the feature maps A [h, w, F] that the head reads and G, the gradient of a class's logit by A:

    Grad-CAM   max(0, Σ_f mean(G_f) · A_f)     Selvaraju et al., 2017, https://arxiv.org/abs/1610.02391
    LayerCAM   max(0, Σ_f max(0, G_f) · A_f)   Jiang et al., 2021, https://doi.org/10.1109/TIP.2021.3089943
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.heads.head import pool_layer_name
from zoo.models.trainable import feature_maps
from zoo.table import Table
from zoo.tasks import CLASSIFICATION, Task

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ActivationMethod:
    """A row of ACTIVATION_METHODS.

    Args:
        name: The key in ACTIVATION_METHODS.
        summary: What it shows.
        combine: Maps feature maps and gradients, float32 [B, h, w, F] both, to float32 [B, h, w].
        paper: Authors, year, address.
    """

    name: str
    summary: str
    combine: Callable[[Floats, Floats], Floats]
    paper: str


def _grad_cam(maps: Floats, gradients: Floats) -> Floats:
    return np.einsum("bhwf,bf->bhw", maps, gradients.mean(axis=(1, 2)))


def _layer_cam(maps: Floats, gradients: Floats) -> Floats:
    return np.einsum("bhwf,bhwf->bhw", maps, np.maximum(gradients, 0))


ACTIVATION_METHODS: Table[ActivationMethod] = Table(
    "activation map",
    [
        ActivationMethod(
            "grad_cam",
            "what speaks for a class against what speaks against it; the default",
            _grad_cam,
            "Selvaraju et al., 2017, https://arxiv.org/abs/1610.02391",
        ),
        ActivationMethod(
            "layer_cam",
            "what speaks for a class, place by place; for lower feature maps, too",
            _layer_cam,
            "Jiang et al., 2021, https://doi.org/10.1109/TIP.2021.3089943",
        ),
    ],
)


def has_feature_maps(classifier: Any) -> bool:
    """Whether a model's head reads feature maps with places, of which there can be a map.

    A mean of several models does not, nor does one whose backbone ends in a single place.

    Args:
        classifier: A Keras model.
    """
    if pool_layer_name(1) not in {layer.name for layer in classifier.layers}:
        return False
    maps = feature_maps(classifier)
    top = maps[0] if isinstance(maps, list) else maps
    return len(top.shape) == 4 and min(top.shape[1:3]) > 1


class ActivationMaps:
    """Computes activation maps of a classifier; in inference mode, on TensorFlow.

    Args:
        classifier: From `build_classifier` or `build_multi_task`, with feature maps.
        task: Which of its tasks, one with classes.
        method: A row of ACTIVATION_METHODS.
        level: Which of the feature maps that the head reads, 0 for the top's.

    Raises:
        UnknownNameError: No such method.
    """

    def __init__(
        self,
        classifier: Any,
        task: Task = CLASSIFICATION,
        *,
        method: str = "grad_cam",
        level: int = 0,
    ) -> None:
        import keras

        self._combine, self._level = ACTIVATION_METHODS[method].combine, level
        maps = feature_maps(classifier)
        maps = maps if isinstance(maps, list) else [maps]
        logits = classifier.get_layer(f"{task.prefix}logits").output
        self._trunk = keras.Model(classifier.input, maps, name="trunk")
        self._top = keras.Model(maps, logits, name="top")

    def compute(self, images: Floats, classes: npt.NDArray[np.int64]) -> Floats:
        """Computes the map of a class of each image.

        Args:
            images: float32 [B, S, S, 3] in 0 to 255.
            classes: int64 [B], the class of each.

        Returns:
            float32 [B, h, w], 0 or more; as the formula has it, and not scaled.
        """
        import tensorflow as tf

        maps = tf.nest.flatten(self._trunk(images, training=False))
        with tf.GradientTape() as tape:
            tape.watch(maps)
            logits = tf.gather(self._top(maps, training=False), classes, axis=1, batch_dims=1)
        gradients = tape.gradient(logits, maps[self._level])
        values = maps[self._level].numpy().astype(np.float32)
        combined = self._combine(values, gradients.numpy().astype(np.float32))
        return np.maximum(combined, 0).astype(np.float32)


def scale_maps(maps: Floats) -> Floats:
    """Scales each map to the range 0 to 1; one of zeros stays so.

    Args:
        maps: float32 [B, h, w], 0 or more.
    """
    largest = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(maps / np.where(largest > 0, largest, 1), np.float32)
