"""Batches with broken images, in the graph of an export: the others are predicted all the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.models.unknown import IS_UNKNOWN
from zoo.preprocessing import Preprocessing

_PARALLEL_CALLS = 8
"""Files that are decoded at the same time, at most; more than most clients send."""


def broken_value(name: str, dtype: str) -> str | bool | float:
    """Returns what an output is for a broken image: it has no class, and counts as unknown.

    Args:
        name: The output's.
        dtype: `string`, `bool` or a kind of float.

    Example:
        >>> broken_value("is_unknown", "bool"), broken_value("prediction_set", "bool")
        (True, False)
    """
    if dtype == "string":
        return ""
    return name == IS_UNKNOWN if dtype == "bool" else float("nan")


def preprocess_files(preprocessing: Preprocessing, image_bytes: Any) -> tuple[Any, Any]:
    """Decodes and resizes files, of which some may be broken, inside a graph.

    Args:
        preprocessing: Turns a file into the model's input.
        image_bytes: string [B], the files.

    Returns:
        uint8 [B, S, S, 3], black where a file is broken; and which files are not, bool [B].
    """
    import tensorflow as tf

    shape = (preprocessing.size, preprocessing.size, 3)
    count = tf.size(image_bytes, out_type=tf.int64)

    def preprocess(index: Any) -> tuple[Any, Any]:
        return index, tf.ensure_shape(preprocessing(image_bytes[index]), shape)

    # A dataset is what goes on after an error inside a graph.
    files = tf.data.Dataset.range(count).map(
        tf.autograph.experimental.do_not_convert(preprocess), num_parallel_calls=_PARALLEL_CALLS
    )
    options = tf.data.Options()
    # Its thread sleeps for seconds, and an iterator that ends waits for it.
    options.autotune.enabled = False
    # One element more, since a batch of none is no element.
    end = tf.data.Dataset.from_tensors((count, tf.zeros(shape, tf.uint8)))
    whole = files.ignore_errors(log_warning=False).concatenate(end).batch(count + 1)
    indices, pixels = whole.with_options(options).get_single_element()
    places = indices[:-1, tf.newaxis]
    batch = tf.scatter_nd(places, pixels[:-1], tf.stack([count, *shape]))
    valid = tf.scatter_nd(places, tf.ones_like(indices[:-1], tf.bool), count[tf.newaxis])
    return tf.ensure_shape(batch, (None, *shape)), valid


def mask_outputs(outputs: Mapping[str, Any], valid: Any) -> dict[str, Any]:
    """Replaces the outputs of broken images: see `broken_value`.

    Args:
        outputs: float32, string or bool [B, …] by name.
        valid: bool [B], which images are not broken.

    Returns:
        The outputs, and `valid`.
    """
    import tensorflow as tf

    masked = {}
    for name, values in outputs.items():
        nothing = tf.constant(broken_value(name, values.dtype.name), values.dtype)
        column = tf.reshape(valid, [-1] + [1] * (values.shape.rank - 1))
        masked[name] = tf.where(column, values, nothing)
    return {**masked, "valid": valid}
