"""Layers no library has: randomized leaky ReLU, and a step that can be trained through.

A `model.keras` that holds one of them loads only after `import zoo.layers`, with which
Keras knows it by its registered name, such as `zoo>RandomizedLeakyReLU`. An exported
SavedModel needs nothing of this project.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("zoo")
class RandomizedLeakyReLU(keras.layers.Layer):
    """RReLU: a leaky ReLU whose slope is drawn anew for every unit while training.

    x where x is not negative, a·x elsewhere; a is drawn from U(`lower`, `upper`) for
    each unit of each example while training, and is the mean of the two when not.
    The noise regularises a network that overfits.

    Args:
        lower: Smallest slope, at least 0.
        upper: Largest slope, at least `lower` and at most 1.
        seed: Of the slopes; left out, drawn from Keras' global seed.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: The slopes are not in order.

    Reference: Xu et al., 2015, https://arxiv.org/abs/1505.00853
    """

    def __init__(
        self, lower: float = 1 / 8, upper: float = 1 / 3, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= lower <= upper <= 1:
            raise ValueError(
                "The slopes of RReLU must be 0 <= lower <= upper <= 1. "
                f"Received: lower={lower}, upper={upper}"
            )
        self.lower, self.upper, self.seed = lower, upper, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        self._build_at_init()

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Maps a tensor of any shape and float dtype to one of the same.

        Args:
            inputs: The tensor.
            training: Whether slopes are drawn.
        """
        slope: Any = (self.lower + self.upper) / 2
        if training:
            slope = keras.random.uniform(
                ops.shape(inputs),
                self.lower,
                self.upper,
                dtype=self.compute_dtype,
                seed=self.seed_generator,
            )
        return ops.where(inputs >= 0, inputs, slope * inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape it was given."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {
            **super().get_config(),
            "lower": self.lower,
            "upper": self.upper,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable("zoo")
class StraightThroughStep(keras.layers.Layer):
    """The Heaviside step, 1 where x is not negative and 0 elsewhere, with a usable gradient.

    The step's own gradient is 0 wherever it exists, so nothing below it would learn.
    Backwards it is taken for the identity where |x| ≤ 1, and for a constant elsewhere,
    where a unit is saturated.

    Reference: Bengio et al., 2013, https://arxiv.org/abs/1308.3432; the saturation,
    Hubara et al., 2016, https://arxiv.org/abs/1602.02830

    Args:
        **kwargs: `name` and `dtype` of the layer.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self._build_at_init()

    def call(self, inputs: Any) -> Any:
        """Maps a tensor of any shape and float dtype to zeros and ones of the same."""
        step = ops.cast(inputs >= 0, self.compute_dtype)
        through = ops.clip(inputs, -1, 1)
        # The difference is exactly 0 forwards; backwards its second half is not there.
        return step + (through - ops.stop_gradient(through))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape it was given."""
        return input_shape
