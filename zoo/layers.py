"""Layers no library has: randomized leaky ReLU, a step that trains, a dense layer both ways.

A `model.keras` that holds one of them loads only after `import zoo.layers`, with which
Keras knows it by its registered name, such as `zoo>RandomizedLeakyReLU`. An exported
SavedModel needs nothing of this project.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from zoo.private_api import build_at_init


@keras.saving.register_keras_serializable("zoo")
class RandomizedLeakyReLU(keras.layers.Layer):
    """RReLU: a leaky ReLU whose slope is drawn anew for every unit while training.

    x where x is not negative, a·x elsewhere; a is drawn from U(`lower`, `upper`) for
    each unit of each example while training, and is the mean of the two when not.
    The noise regularizes a network that overfits.

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
        build_at_init(self)

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
        build_at_init(self)

    def call(self, inputs: Any) -> Any:
        """Maps a tensor of any shape and float dtype to zeros and ones of the same."""
        step = ops.cast(inputs >= 0, self.compute_dtype)
        through = ops.clip(inputs, -1, 1)
        # The difference is exactly 0 forwards; backwards its second half is not there.
        return step + (through - ops.stop_gradient(through))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape it was given."""
        return input_shape


@keras.saving.register_keras_serializable("zoo")
class TiedDense(keras.layers.Layer):
    """A dense layer that runs both ways through one kernel: parameter tying.

    Forwards x·W + b, backwards y·Wᵀ + c. An autoencoder made of it has half the
    weights of one whose decoder has its own, and cannot learn the identity by making
    one half large and the other small:

        tied = TiedDense(16)
        code = tied(x)
        restored = tied(code, reverse=True)

    It is one layer, called twice, so it stays tied through saving and loading, where a
    layer that referred to another one's kernel would be given a copy. Call it forwards
    first: that is what tells it its shape.

    Args:
        units: U, the size of the code.
        kernel_initializer: A name or object Keras knows.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: `units` is below 1.

    Reference: Vincent et al., 2010, section 3,
    https://www.jmlr.org/papers/v11/vincent10a.html
    """

    def __init__(
        self, units: int, kernel_initializer: Any = "glorot_uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"A tied dense layer needs a unit. Received: units={units}")
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        """Makes the kernel [F, U] and a bias for each way, from the shape [..., F]."""
        size = input_shape[-1]
        self.kernel = self.add_weight(
            (size, self.units), initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight((self.units,), initializer="zeros", name="bias")
        self.reverse_bias = self.add_weight((size,), initializer="zeros", name="reverse_bias")

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        """Maps float [..., F] to [..., U], or back.

        Args:
            inputs: The tensor.
            reverse: Whether from the code back.
        """
        if reverse:
            return ops.matmul(inputs, ops.transpose(self.kernel)) + self.reverse_bias
        return ops.matmul(inputs, self.kernel) + self.bias

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "units": self.units, "kernel_initializer": initializer}
