"""Networks built for tests: with variables that hold nothing, where values do not matter."""

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
    """Makes variables that hold nothing, inside of the block."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Keras would fill them when the next such scope ends, gigabytes of them.
        global_state.get_global_attribute("uninitialized_variables", []).clear()


def empty(row: Backbone, size: int) -> Any:
    """Builds a backbone for images of a size whose weights hold nothing."""
    with without_values():
        return row.build(size)


def count(layers: list[Any]) -> int:
    """Returns how many numbers the weights of layers hold."""
    return sum(int(np.prod(weight.shape)) for layer in layers for weight in layer.weights)


def pixels_of(size: int, batch: int = 2) -> Any:
    """Returns images float32 [B, S, S, 3] in 0 to 255."""
    return np.random.default_rng(7).uniform(0, 255, (batch, size, size, 3)).astype("float32")
