"""Graph that converters read: from pixels to outputs that every format has, as a SavedModel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zoo.export.load_image import boxes, resampling_weights
from zoo.export.signatures import build_outputs, build_unknown_outputs
from zoo.models.decision import DecisionRule
from zoo.models.unknown import UnknownScorer, build_scored_model
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task, wrap


def write_graph(
    model: Any,
    preprocessing: Preprocessing,
    tasks: Sequence[Task],
    folder: Path,
    scorer: UnknownScorer | None = None,
    rules: Mapping[str, DecisionRule] = MappingProxyType({}),
    *,
    any_size: bool,
) -> None:
    """Writes a SavedModel with one signature, from `images` uint8 [B, H, W, 3] to the outputs.

    They are those of `zoo.export.savedmodel` without texts: there is no `top_labels`.

    Args:
        model: A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to what `tasks` say.
        preprocessing: Resizes images to the model's input.
        tasks: What the model predicts.
        folder: An empty folder to write into.
        scorer: Of the features of the model's head; None exports no unknown scores.
        rules: Which classes or labels are in the answer, by task that has a rule.
        any_size: Whether it takes images of any H and W, rather than S.
    """
    import keras
    import tensorflow as tf

    size = preprocessing.size
    side = None if any_size else size
    network = model if scorer is None else build_scored_model(model, scorer)

    def serve(images: Any) -> dict[str, Any]:
        pixels = tf.cast(images, tf.float32)
        if any_size:
            with tf.name_scope("resize"):
                pixels = resize(pixels, preprocessing)
        values, outputs = network(pixels, training=False), {}
        if scorer is not None:
            values, scores = values
            outputs = build_unknown_outputs(scores)
        predictions = wrap(tasks, values)
        for task in tasks:
            rule = rules.get(task.name)
            outputs |= build_outputs(task, predictions[task.name], rule, labels=False)
        # Named by an operation each, or a converter gives two outputs the name of one.
        return {name: tf.identity(value, name=name) for name, value in outputs.items()}

    archive = keras.export.ExportArchive()
    images = tf.TensorSpec((None, side, side, 3), tf.uint8, name="images")
    archive.add_endpoint("serving_default", serve, [images])
    archive.write_out(str(folder), verbose=False)


def resize(images: Any, preprocessing: Preprocessing) -> Any:
    """Resizes images in the graph by two products of matrices, which every runtime has.

    ONNX Runtime's own `Resize` with antialiasing is up to 3 of 255 off, and at uint8 at a fifth of
    the values; no runtime's starts at half a pixel, as a crop of an odd image does.

    Args:
        images: float32 [B, H, W, 3] in 0 to 255.
        preprocessing: Says how.

    Returns:
        float32 [B, S, S, 3], whole numbers in 0 to 255.
    """
    import tensorflow as tf
    from keras import ops

    size, interpolation = preprocessing.size, preprocessing.interpolation
    height, width = tf.unstack(tf.shape(images)[1:3])
    lengths = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    rows, columns = (
        resampling_weights(count, start, length, size, interpolation, ops)
        for count, (start, length) in zip(lengths, boxes(*lengths, preprocessing.fit), strict=True)
    )
    pixels = tf.matmul(rows, tf.reshape(images, (-1, height, width * 3)))
    pixels = tf.transpose(tf.reshape(pixels, (-1, size, width, 3)), (0, 2, 1, 3))
    pixels = tf.matmul(columns, tf.reshape(pixels, (-1, width, size * 3)))
    pixels = tf.transpose(tf.reshape(pixels, (-1, size, size, 3)), (0, 2, 1, 3))
    return tf.clip_by_value(tf.round(pixels), 0.0, 255.0)
