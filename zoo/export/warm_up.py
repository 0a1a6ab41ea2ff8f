"""Warm-up requests of a SavedModel, which TensorFlow Serving runs before it serves.

The first call of a signature builds what later ones use. The requests are a TFRecord file of
`tensorflow.serving.PredictionLog` messages at a place that TensorFlow Serving knows, see
https://www.tensorflow.org/tfx/serving/saved_model_warmup. These messages are declared by
tensorflow-serving-api, which this project does without: a message is written as protocol
buffers are, field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
"""Where TensorFlow Serving looks for the requests, in the folder of saved_model.pb."""

WARM_UP_SIGNATURES = ("serving_bytes", "serving_bytes", "serving_default", "decode")
"""The signature that each request is for."""

_SIZE = 256
"""Height and width of the images in the requests."""

_DELIMITED = 2
"""Wire type of strings and messages: their length, then their bytes."""


def write_warm_up(folder: Path) -> None:
    """Writes requests for the signatures of an exported model, each of one image.

    Args:
        folder: The folder of saved_model.pb.
    """
    import tensorflow as tf

    file = folder / WARM_UP_FILE
    file.parent.mkdir(exist_ok=True)
    pixels = _draw_image()
    jpeg, png = tf.io.encode_jpeg(pixels).numpy(), tf.io.encode_png(pixels).numpy()
    inputs: list[dict[str, Any]] = [
        {"image_bytes": [jpeg]},
        {"image_bytes": [png]},
        {"images": pixels[np.newaxis]},
        {"image_bytes": jpeg},
    ]
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, values in zip(WARM_UP_SIGNATURES, inputs, strict=True):
            writer.write(_encode_request(signature, values))


def _draw_image() -> npt.NDArray[np.uint8]:
    """Returns a gradient, uint8 [S, S, 3]; no photograph of the user leaves with a model."""
    rows, columns = np.mgrid[:_SIZE, :_SIZE]
    return np.stack([rows, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)


def _encode_request(signature: str, inputs: Mapping[str, Any]) -> bytes:
    """Returns a PredictionLog with a request and no response.

    Args:
        signature: The name of the signature.
        inputs: Values by the names of its inputs.
    """
    import tensorflow as tf

    model_spec = _field(3, signature.encode())
    request = _field(1, model_spec)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString(deterministic=True)
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    predict_log = _field(1, request)
    return _field(6, predict_log)


def _field(number: int, content: bytes) -> bytes:
    """Returns a field of a protocol buffer, of a string or a message.

    Example:
        >>> _field(3, b"decode").hex()
        '1a066465636f6465'
    """
    return _varint(number << 3 | _DELIMITED) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Returns a number in groups of seven bits, the lowest first."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
