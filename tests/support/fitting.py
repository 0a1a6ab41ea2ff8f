"""Short training of classifiers, and the weights that it changes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from zoo.heads.head import HeadConfig
from zoo.models.trainable import build_logits_model

# A plain backbone, one with batch normalization, one that also drops paths at random.
BACKBONES = ["squeezenet1_1", "micro_resnet_s", "efficientnet_b0"]
HEAD = HeadConfig(hidden=(8,))


def fit_briefly(classifier: Any, size: int, *, frozen: bool = True) -> None:
    """Trains a classifier of three classes for two epochs of random images."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (16, size, size, 3)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 16)]
    model = build_logits_model(classifier, frozen=frozen)
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    model.fit(images, labels, batch_size=8, epochs=2, verbose=0)


def copy_weights(model: Any) -> dict[str, np.ndarray]:
    """Returns a copy of each weight by its path."""
    return {v.path: v.numpy() for v in model.weights}


def changed_weights(before: dict[str, np.ndarray], model: Any) -> set[str]:
    """Returns the paths of the weights that differ from their copies."""
    after = copy_weights(model)
    return {path for path in after if not np.array_equal(before[path], after[path])}
