"""Keras models that training fits: they end in logits and share a classifier's weights.

A loss on logits is exact; a loss on probabilities has to clip them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.heads.head import POOLED, pool_layer_name
from zoo.tasks import CLASSIFICATION, Task, unwrap


def build_logits_model(
    classifier: Any,
    *,
    frozen: bool,
    tasks: Sequence[Task] = (CLASSIFICATION,),
    standardize: Any = None,
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
        standardize: A Keras layer between the pooled features and the head, which the
            classifier itself lacks; None for none. Only if frozen.

    Returns:
        A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to logits, float32 [B, C], or
        to a dictionary of float32 [B, K] by task; to be trained, not to be saved. The logit
        of a number is the standardized number.
    """
    import keras

    images, pooled = classifier.input, pooled_features(classifier)
    if not frozen:
        return keras.Model(images, _logits_of(classifier, tasks), name="logits")
    # The output of the nested backbone model is another tensor than its output in this graph.
    boundary = feature_maps(classifier)

    class FrozenBackboneModel(keras.Model):
        """A head on a backbone in inference mode."""

        def __init__(self) -> None:
            super().__init__(name="logits")
            self.trunk = keras.Model(images, boundary, name="trunk")
            self.pool = keras.Model(boundary, pooled, name="pooling")
            self.head = build_head_model(classifier, tasks=tasks, standardize=standardize)

        def call(self, images: Any, training: bool | None = None) -> Any:
            """Maps images to logits."""
            maps = self.trunk(images, training=False)
            return self.head(self.pool(maps, training=training), training=training)

    model = FrozenBackboneModel()
    model.build(classifier.input_shape)
    return model


def build_head_model(
    classifier: Any, *, tasks: Sequence[Task] = (CLASSIFICATION,), standardize: Any = None
) -> Any:
    """Builds the model from pooled features to logits.

    Args:
        classifier: From `build_classifier` or `build_multi_task`, or any model with the
            layers of a head.
        tasks: What it predicts.
        standardize: As `build_logits_model` takes it.

    Returns:
        A `keras.Model` from float32 [B, F] to the outputs of `build_logits_model`.
    """
    import keras

    pooled = pooled_features(classifier)
    head = keras.Model(pooled, _logits_of(classifier, tasks), name="head")
    if standardize is None:
        return head
    features = keras.Input(pooled.shape[1:], name="features")
    return keras.Model(features, head(standardize(features)), name="standardized_head")


def build_probability_model(classifier: Any) -> Any:
    """Builds the model from pooled features, float32 [B, F], to a classifier's outputs."""
    import keras

    return keras.Model(pooled_features(classifier), classifier.output, name="probabilities")


def build_pooling_model(classifier: Any) -> Any:
    """Builds the model from images, float32 [B, S, S, 3], to a classifier's pooled features."""
    import keras

    return keras.Model(classifier.input, pooled_features(classifier), name="pooled_features")


def feature_maps(classifier: Any) -> Any:
    """Returns what a classifier's head reads: a Keras tensor [B, h, w, F], or a list of them.

    Several levels of a backbone come from the top down.
    """
    names = {layer.name for layer in classifier.layers}
    maps: list[Any] = []
    while (name := pool_layer_name(len(maps) + 1)) in names:
        maps.append(classifier.get_layer(name).input)
    return maps if len(maps) > 1 else maps[0]


def pooled_features(classifier: Any) -> Any:
    """Returns the Keras tensor [B, F] of a classifier's pooled features, a head's input."""
    names = {layer.name for layer in classifier.layers}
    return classifier.get_layer(POOLED if POOLED in names else pool_layer_name(1)).output


def _logits_of(classifier: Any, tasks: Sequence[Task]) -> Any:
    logits = {t.name: classifier.get_layer(f"{t.prefix}logits").output for t in tasks}
    return unwrap(tasks, logits)
