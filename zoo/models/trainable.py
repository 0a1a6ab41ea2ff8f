"""Keras models that training fits: they end in logits and share a classifier's weights.

A loss on logits is exact; a loss on probabilities has to clip them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.tasks import CLASSIFICATION, Task, unwrap


def build_logits_model(
    classifier: Any, *, frozen: bool, tasks: Sequence[Task] = (CLASSIFICATION,)
) -> Any:
    """Builds the model from images to logits.

    If frozen, the backbone runs in inference mode, also in training and with unfrozen
    blocks: batch statistics do not move and no path is dropped. `backbone(x,
    training=False)` in a functional model does not do that, as Keras 3 replaces the
    recorded argument by that of the outer call.

    Args:
        classifier: From `build_classifier` or `build_multi_task`.
        frozen: Whether it was built frozen.
        tasks: What it predicts.

    Returns:
        A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to logits, float32 [B, C], or
        to a dictionary of float32 [B, K] by task; to be trained, not to be saved. The logit
        of a number is the standardized number.
    """
    import keras

    images, logits = classifier.input, _logits_of(classifier, tasks)
    if not frozen:
        return keras.Model(images, logits, name="logits")
    # The output of the nested backbone model is another tensor than its output in this graph.
    boundary = classifier.get_layer("pool").input

    class FrozenBackboneModel(keras.Model):
        """A head on a backbone in inference mode."""

        def __init__(self) -> None:
            super().__init__(name="logits")
            self.trunk = keras.Model(images, boundary, name="trunk")
            self.head = keras.Model(boundary, logits, name="head")

        def call(self, images: Any, training: bool | None = None) -> Any:
            """Maps images to logits."""
            return self.head(self.trunk(images, training=False), training=training)

    model = FrozenBackboneModel()
    model.build(classifier.input_shape)
    return model


def build_head_model(classifier: Any, *, tasks: Sequence[Task] = (CLASSIFICATION,)) -> Any:
    """Builds the model from pooled features to logits.

    Args:
        classifier: From `build_classifier` or `build_multi_task`, or any model with the
            layers of a head.
        tasks: What it predicts.

    Returns:
        A `keras.Model` from float32 [B, F] to the outputs of `build_logits_model`.
    """
    import keras

    return keras.Model(_pooled_of(classifier), _logits_of(classifier, tasks), name="head")


def build_probability_model(classifier: Any) -> Any:
    """Builds the model from pooled features, float32 [B, F], to a classifier's outputs."""
    import keras

    return keras.Model(_pooled_of(classifier), classifier.output, name="probabilities")


def _pooled_of(classifier: Any) -> Any:
    names = {layer.name for layer in classifier.layers}
    return classifier.get_layer("pool_both" if "pool_both" in names else "pool").output


def _logits_of(classifier: Any, tasks: Sequence[Task]) -> Any:
    logits = {t.name: classifier.get_layer(f"{t.prefix}logits").output for t in tasks}
    return unwrap(tasks, logits)
