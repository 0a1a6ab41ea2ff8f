"""Averaged weights: a running mean of what the optimizer passes through.

Keras' optimizers keep the mean (`use_ema`); here it is put to use. Keras' own
callback swaps it in and out by sums and differences, which round what is being
trained; this one puts the very values back.

Reference: Polyak and Juditsky, 1992, https://doi.org/10.1137/0330046
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.private_api import moving_averages

if TYPE_CHECKING:
    import numpy as np


def weights_to_keep(model: Any) -> list[np.ndarray]:
    """Returns a compiled model's weights; where its optimizer averages them, the averages.

    Args:
        model: A compiled Keras model whose optimizer is built.

    Returns:
        In the order of `model.weights`. What is not trained (moving statistics) has
        no average and comes as it is, and before the first step nothing has.
    """
    # Mixed precision by float16 wraps the optimizer.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    averages = {}
    if optimizer.use_ema and int(optimizer.iterations):
        kept = moving_averages(optimizer)
        averages = {id(v): mean for v, mean in zip(model.trainable_variables, kept, strict=True)}
    return [averages.get(id(weight), weight).numpy() for weight in model.weights]


def validating_averages(model: Any) -> list[Any]:
    """Returns the callbacks that have validation see the averages; none without averages.

    Args:
        model: A compiled Keras model.
    """
    import keras

    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not optimizer.use_ema:
        return []
    trained: list[list[np.ndarray]] = []

    def swap_in(logs: Any = None) -> None:
        trained.append(model.get_weights())
        model.set_weights(weights_to_keep(model))

    def swap_out(logs: Any = None) -> None:
        model.set_weights(trained.pop())

    return [keras.callbacks.LambdaCallback(on_test_begin=swap_in, on_test_end=swap_out)]
