"""Custom Keras layers: randomized leaky ReLU, straight-through step and tied dense.

A saved `model.keras` with one of these layers loads after `import zoo.layers`, which
registers them under names such as `zoo>RandomizedLeakyReLU`. An exported SavedModel
loads without this project.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from zoo.private_api import build_at_init


@keras.saving.register_keras_serializable("zoo")
class RandomizedLeakyReLU(keras.layers.Layer):
    """RReLU: a leaky ReLU with a random slope in training.

    Computes x if x ≥ 0, else a·x. In training, a is drawn from U(`lower`, `upper`) for
    each unit of each example; in inference, it is the mean of the two. The noise
    regularizes a network that overfits.

    Args:
        lower: Smallest slope, at least 0.
        upper: Largest slope, from `lower` to 1.
        seed: Seed of the slopes; None draws one from Keras' global seed.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: The slopes do not satisfy 0 ≤ `lower` ≤ `upper` ≤ 1.

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
        """Applies the activation.

        Args:
            inputs: Float tensor of any shape; the result has the same shape and dtype.
            training: Whether to draw slopes.
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
        """Returns `input_shape` unchanged."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "lower": self.lower,
            "upper": self.upper,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable("zoo")
class StraightThroughStep(keras.layers.Layer):
    """Heaviside step, 1 if x ≥ 0 else 0, with a straight-through gradient.

    The step's own gradient is 0 almost everywhere, so no layer below would learn. The
    backward pass uses the gradient of the identity if |x| ≤ 1, and 0 for saturated units.

    Reference: Bengio et al., 2013, https://arxiv.org/abs/1308.3432; saturation: Hubara et
    al., 2016, https://arxiv.org/abs/1602.02830

    Args:
        **kwargs: `name` and `dtype` of the layer.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        build_at_init(self)

    def call(self, inputs: Any) -> Any:
        """Maps a float tensor to 0 and 1, of the same shape and dtype."""
        step = ops.cast(inputs >= 0, self.compute_dtype)
        clipped = ops.clip(inputs, -1, 1)
        # The difference is exactly 0; its gradient is that of the first operand.
        return step + (clipped - ops.stop_gradient(clipped))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns `input_shape` unchanged."""
        return input_shape


@keras.saving.register_keras_serializable("zoo")
class TiedDense(keras.layers.Layer):
    """Dense layer that encodes and decodes with one kernel, for autoencoders.

        tied = TiedDense(16)
        code = tied(x)                        # x·W + b
        restored = tied(code, reverse=True)   # code·Wᵀ + c

    Tying halves the weights of an autoencoder and keeps it from learning the identity
    with large weights on one side and small ones on the other. Both directions belong to
    one layer, so they stay tied through saving and loading; a second layer that referred
    to the kernel would be loaded with a copy. Call it forwards first, which builds it.

    Args:
        units: U, the size of the code, at least 1.
        kernel_initializer: The name of a Keras initializer, or an instance.
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
            raise ValueError(f"TiedDense needs at least one unit. Received: units={units}")
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        """Creates the kernel [F, U] and a bias for each direction, from the shape [..., F]."""
        size = input_shape[-1]
        self.kernel = self.add_weight(
            (size, self.units), initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight((self.units,), initializer="zeros", name="bias")
        self.reverse_bias = self.add_weight((size,), initializer="zeros", name="reverse_bias")

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        """Encodes float [..., F] to [..., U], or decodes [..., U] to [..., F].

        Args:
            inputs: The tensor.
            reverse: Whether to decode.
        """
        if reverse:
            return ops.matmul(inputs, ops.transpose(self.kernel)) + self.reverse_bias
        return ops.matmul(inputs, self.kernel) + self.bias

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "units": self.units, "kernel_initializer": initializer}
