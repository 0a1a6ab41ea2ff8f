"""Norms of the gradients of deep networks before training, plain and clipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.studies.experiments.digits import NUM_CLASSES, Digits
from zoo.heads.head import HeadConfig, build_head, initialize_head
from zoo.models.trainable import build_head_model

UNITS = 64
BOUND = 1.0
"""Largest norm, or value, of clipped gradients."""

_GLOROT, _NORMALIZED = {"initializer": "glorot_normal"}, {"batch_norm": True}
_RELU, _SIGMOID = {"activation": "relu"}, {"activation": "sigmoid"}
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "sigmoid, Glorot": _SIGMOID | _GLOROT,
    "ReLU, Glorot": _RELU | _GLOROT,
    "ReLU, He": _RELU | {"initializer": "he_normal"},
    "sigmoid, Glorot, normalized": _SIGMOID | _GLOROT | _NORMALIZED,
    "ReLU, Glorot, normalized": _RELU | _GLOROT | _NORMALIZED,
    "ReLU, He, normalized": _RELU | {"initializer": "he_normal"} | _NORMALIZED,
    "ReLU, 2 × He": _RELU | {"initializer": "normal", "initializer_stddev": 2 * (2 / UNITS) ** 0.5},
}
"""Fields of `HeadConfig` by the name of the network."""


def gradient_norms(settings: Mapping[str, Any], depth: int, seed: int) -> dict[str, list[float]]:
    """Returns the norm of the gradient of each hidden kernel, input first.

    Args:
        settings: Fields of `HeadConfig`.
        depth: Hidden layers.
        seed: Seed of the weights and of the rows.

    Returns:
        `plain`; by clipping (`value`, `norm`, `global_norm`) the norms after it; and `largest`,
        the largest absolute value of each kernel's gradient after clipping by value.
    """
    import keras
    import tensorflow as tf

    plain = {"hidden": (UNITS,) * depth, "dropout": 0.0, "batch_norm": False}
    head = HeadConfig(**{**plain, **settings})
    data = Digits(seed)
    maps = keras.Input((1, 1, data.num_features))
    model = build_head_model(keras.Model(maps, build_head(maps, head, NUM_CLASSES)))
    initialize_head(model.layers, seed)
    rows, labels = data.rows[:256], data.labels[:256]
    with tf.GradientTape() as tape:
        logits = model(rows, training=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        loss = tf.reduce_mean(losses)
    kernels = [v for v in model.trainable_variables if v.path.endswith("kernel")][:depth]
    gradients = tape.gradient(loss, [kernel.value for kernel in kernels])
    by_value = [tf.clip_by_value(g, -BOUND, BOUND) for g in gradients]
    found = {
        "plain": gradients,
        "value": by_value,
        "norm": [tf.clip_by_norm(g, BOUND) for g in gradients],
        "global_norm": tf.clip_by_global_norm(gradients, BOUND)[0],
    }
    return {
        **{name: [float(tf.norm(g)) for g in some] for name, some in found.items()},
        "largest": [float(tf.reduce_max(tf.abs(g))) for g in by_value],
    }
