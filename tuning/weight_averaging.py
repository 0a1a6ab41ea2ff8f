"""Weight averaging: validate and keep a running mean of the weights.

Keras' optimizers compute the mean (`use_ema`). Keras' own callback swaps it in and out by
additions and subtractions, whose rounding changes the trained weights; the callback here puts
the same values back.

Reference: Polyak and Juditsky, 1992, https://doi.org/10.1137/0330046
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.private_api import moving_averages

if TYPE_CHECKING:
    import numpy as np


def averaged_weights(model: Any) -> list[np.ndarray]:
    """Returns a model's weights, or their averages where its optimizer keeps averages.

    Args:
        model: A compiled Keras model whose optimizer is built.

    Returns:
        A copy of each weight, in the order of `model.weights`. Weights that are not trained
        (moving statistics) have no average, and before the first step no weight has one:
        those are returned as they are.
    """
    optimizer = _optimizer_of(model)
    averages = {}
    if optimizer.use_ema and int(optimizer.iterations):
        means = moving_averages(optimizer)
        averages = {id(v): mean for v, mean in zip(model.trainable_variables, means, strict=True)}
    return [averages.get(id(weight), weight).numpy() for weight in model.weights]


def build_averaging_callbacks(model: Any) -> list[Any]:
    """Builds the Keras callbacks that validate with the averaged weights.

    Args:
        model: A compiled Keras model.

    Returns:
        No callback if the model's optimizer keeps no averages.
    """
    import keras

    if not _optimizer_of(model).use_ema:
        return []
    trained: list[list[np.ndarray]] = []

    def swap_in(logs: Any = None) -> None:
        trained.append(model.get_weights())
        model.set_weights(averaged_weights(model))

    def swap_out(logs: Any = None) -> None:
        model.set_weights(trained.pop())

    return [keras.callbacks.LambdaCallback(on_test_begin=swap_in, on_test_end=swap_out)]


def _optimizer_of(model: Any) -> Any:
    # float16 mixed precision wraps the optimizer in a LossScaleOptimizer.
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)
