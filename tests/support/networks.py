"""Backbones without values in their weights, parameter counts and random images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

from zoo.backbones.base import Backbone


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Creates variables without values inside the block: fast, and free of memory."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # When the next such scope ends, Keras would fill them: gigabytes.
        global_state.get_global_attribute("uninitialized_variables", []).clear()


def build_empty(row: Backbone, size: int) -> Any:
    """Builds a backbone whose weights have shapes and no values, for images of `size` pixels."""
    with without_values():
        return row.build(size)


def num_parameters(layers: list[Any]) -> int:
    """Returns the number of parameters of some layers."""
    return sum(int(np.prod(weight.shape)) for layer in layers for weight in layer.weights)


def random_images(size: int, batch: int = 2) -> Any:
    """Returns images, float32 [batch, size, size, 3] in 0 to 255."""
    return np.random.default_rng(7).uniform(0, 255, (batch, size, size, 3)).astype("float32")
