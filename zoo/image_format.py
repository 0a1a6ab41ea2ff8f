"""Keras' image format while this project builds layers: channels last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def channels_last() -> Iterator[None]:
    """Builds layers for images [B, H, W, C], whatever the user's keras.json says; a decorator.

    A layer asks for the format when it is built, and keeps it. Weights, and TensorFlow on a
    CPU, know channels last alone.
    """
    import keras

    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)
