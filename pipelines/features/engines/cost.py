"""Cost of a network: multiply-adds for one image."""

from __future__ import annotations

import math
from typing import Any

from zoo.private_api import calls_in


def count_multiply_adds(model: Any) -> int:
    """Returns the multiply-adds of a Keras model for one image.

    Counts those of kernels (convolutions and dense layers): the kernel's size at every
    position of the layer's output, as often as the layer is called. Attention's products of
    activations are left out.

    Args:
        model: A functional `keras.Model` of fixed input size.
    """
    import keras

    total = 0
    for layer in calls_in(model):
        if isinstance(layer, keras.Model):
            total += count_multiply_adds(layer)
            continue
        outputs = keras.tree.flatten(getattr(layer, "output", None))
        shape = outputs[0].shape if outputs and outputs[0] is not None else ()
        # [B, H, W, C], [B, N, D] or [B, F]: all but the first and last are positions.
        positions = math.prod(size or 1 for size in shape[1:-1])
        weights = getattr(layer, "weights", ())  # a plain operation has none
        kernels = [weight.shape for weight in weights if len(weight.shape) > 1]
        total += positions * sum(math.prod(kernel) for kernel in kernels)
    return total
