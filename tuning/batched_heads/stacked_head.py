"""Forward pass of many heads of one structure as one network.

Every weight has the heads as its first axis: a kernel is float32 [T, F, U], a bias [T, 1, U].
Settings that differ between the heads (dropout rates, batch normalization, activations) are
tensors beside the weights. The layers and their order are those of `zoo.heads.head`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tuning.batched_heads.head_spec import (
    HeadSpec,
    HeadStructure,
    InitialState,
    build_initial_state,
)
from zoo.heads.activations import ACTIVATIONS
from zoo.heads.head import (
    BATCH_NORM_EPSILON,
    BATCH_NORM_MOMENTUM,
    INPUT_DROPOUT,
    LOGITS,
    HeadConfig,
)


class StackedHead:
    """T heads of one structure as one network.

    Args:
        structure: The structure of the heads.
        activations: The activations that heads may have, rows of ACTIVATIONS other than
            `prelu`, which is a matter of the structure.
        capacity: T.
    """

    def __init__(self, structure: HeadStructure, activations: Sequence[str], capacity: int) -> None:
        import keras
        import tensorflow as tf

        self.structure, self.capacity = structure, capacity
        self.activations = tuple(activations)
        self._layers = {n: ACTIVATIONS[n].build(f"stacked_{n}") for n in self.activations}
        largest = self._initial_state(self._largest_head())
        self._seeds = largest.seeds
        self.weights: dict[str, Any] = {}
        for path, value in largest.weights.items():
            scope, _, name = path.rpartition("/")
            with keras.name_scope(scope):
                self.weights[path] = keras.Variable(
                    np.zeros((capacity, *_stacked_shape(value)), np.float32),
                    trainable=path in largest.trained,
                    name=name,
                )
        self.trained = {p: self.weights[p] for p in largest.weights if p in largest.trained}
        self.averages: Mapping[str, Any] = {}
        """By path, the averages to validate with instead of the trained weights."""
        names = [INPUT_DROPOUT, *(f"{name}_dropout" for name in structure.head.hidden_names)]
        self._dropout = {name: build_per_head(capacity) for name in names}
        # A head without batch normalization or biases has unused weights for them.
        self._has_norm, self._has_bias = build_per_head(capacity), build_per_head(capacity)
        # The division whose rows each head reads.
        self._divisions = tf.Variable(np.zeros(capacity, np.int32))
        # The number of heads with each activation. Heads are sorted by activation.
        self._counts = tf.Variable(np.zeros(len(self.activations), np.int32))

    def fill(self, specs: Sequence[HeadSpec], divisions: Sequence[int]) -> None:
        """Sets the initial weights and the settings of T heads.

        Args:
            specs: T heads of this structure, sorted by activation in the order of
                `activations`.
            divisions: Of each head, which of the D divisions of the images it reads.
        """
        self._divisions.assign(divisions)
        initial = [self._initial_state(spec.head).weights for spec in specs]
        self._paths = [list(weights) for weights in initial]
        unused = self._initial_state(self._largest_head()).weights
        for path, variable in self.weights.items():
            values = [weights.get(path, unused[path]) for weights in initial]
            variable.assign(np.stack([value.reshape(_stacked_shape(value)) for value in values]))
        for name, rates in self._dropout.items():
            setting = "input_dropout" if name == INPUT_DROPOUT else "dropout"
            assign_per_head(rates, [getattr(spec.head, setting) for spec in specs])
        assign_per_head(self._has_norm, [spec.head.batch_norm for spec in specs])
        assign_per_head(self._has_bias, [spec.head.hidden_bias for spec in specs])
        names = [spec.head.activation for spec in specs]
        self._counts.assign([names.count(name) for name in self.activations])

    def weights_of(self, index: int) -> list[npt.NDArray[np.float32]]:
        """Returns a head's weights, or their averages, in the order of its Keras model."""
        values = []
        for path in self._paths[index]:
            value = np.asarray(self._value(path, training=False)[index])
            values.append(value if path.endswith("kernel") else value[0])
        return values

    def rows_of(self, values: Any) -> Any:
        """Maps values of the divisions, [D, …], to those that each head reads, [T, …]."""
        import tensorflow as tf

        return tf.gather(values, self._divisions)

    def logits(self, features: Any, *, step: Any) -> Any:
        """Maps features float32 [D, B, F] to logits float32 [T, B, C].

        Args:
            features: The pooled features of a batch of each division.
            step: In training the number of the step, int64, which seeds dropout and random
                activations; else None.
        """
        operations = {
            "dense": lambda x, name: self._dense(x, name, step, self._has_bias.value),
            "norm": lambda x, name: self._normalize(x, f"{name}_norm", step),
            "activation": lambda x, name: self._activate(x, name, step),
            "dropout": lambda x, name: self._drop(x, f"{name}_dropout", step),
        }
        x = self._drop(self.rows_of(features), INPUT_DROPOUT, step)
        for name in self.structure.head.hidden_names:
            for operation in self.structure.head.hidden_order:
                x = operations[operation](x, name)
        return self._dense(x, LOGITS, step)

    def _initial_state(self, head: HeadConfig) -> InitialState:
        structure = self.structure
        return build_initial_state(
            head, structure.num_features, structure.num_classes, structure.seed
        )

    def _largest_head(self) -> HeadConfig:
        """Returns a head with every weight and seed that a head of this structure can have."""
        head = self.structure.head
        # With batch normalization after the activation, hidden layers have biases too.
        changes: dict[str, Any] = {"batch_norm": True, "batch_norm_position": "after"}
        if head.activation != "prelu" and "rrelu" in self.activations:
            changes["activation"] = "rrelu"
        return head.model_copy(update=changes)

    def _dense(self, x: Any, name: str, step: Any, has_bias: Any = 1.0) -> Any:
        import tensorflow as tf

        x = tf.matmul(x, self._value(f"{name}/kernel", training=step is not None))
        return x + has_bias * self._value(f"{name}/bias", training=step is not None)

    def _normalize(self, x: Any, scope: str, step: Any) -> Any:
        import tensorflow as tf

        momentum = BATCH_NORM_MOMENTUM
        moving = [self.weights[f"{scope}/moving_{s}"] for s in ("mean", "variance")]
        if step is not None:
            moments = tf.nn.moments(x, axes=[1], keepdims=True)
            for variable, moment in zip(moving, moments, strict=True):
                variable.assign(variable.value * momentum + moment * (1.0 - momentum))
        else:
            moments = [variable.value for variable in moving]
        gamma, beta = (
            self._value(f"{scope}/{s}", training=step is not None) for s in ("gamma", "beta")
        )
        normal = tf.nn.batch_normalization(x, *moments, beta, gamma, BATCH_NORM_EPSILON)
        return tf.where(self._has_norm.value > 0, normal, x)

    def _activate(self, x: Any, name: str, step: Any) -> Any:
        import tensorflow as tf

        if self.structure.head.activation == "prelu":
            slope = self._value(f"{name}_prelu/alpha", training=step is not None)
            return tf.nn.relu(x) - slope * tf.nn.relu(-x)
        parts = tf.split(x, self._counts, num=len(self.activations))
        activated = [
            self._randomized_leaky_relu(part, name, step)
            if activation == "rrelu" and step is not None
            else self._layers[activation](part)
            for activation, part in zip(self.activations, parts, strict=True)
        ]
        return tf.ensure_shape(tf.concat(activated, axis=0), x.shape)

    def _randomized_leaky_relu(self, x: Any, name: str, step: Any) -> Any:
        """Applies RReLU with a slope for each unit of each row, the same in every head."""
        import tensorflow as tf

        layer = self._layers["rrelu"]
        slope = self._draw_uniform(x, f"{name}_rrelu", step, layer.lower, layer.upper)
        return tf.where(x >= 0, x, slope * x)

    def _drop(self, x: Any, name: str, step: Any) -> Any:
        """Applies dropout: each head compares the same random numbers with its own rate."""
        import tensorflow as tf

        if step is None:
            return x
        rates = self._dropout[name].value
        kept = self._draw_uniform(x, name, step) >= rates
        return tf.where(kept, x * (1.0 / (1.0 - rates)), 0.0)

    def _draw_uniform(
        self, x: Any, name: str, step: Any, low: float = 0.0, high: float = 1.0
    ) -> Any:
        """Draws float32 [B, U] as Keras' layer of that name does at this step."""
        import tensorflow as tf

        # Keras reduces the state of a seed generator in the same way.
        first = self._seeds[name] % (tf.int32.max - 1)
        seed = tf.stack([first, tf.cast(step, tf.int32)])
        return tf.random.stateless_uniform(tf.shape(x)[1:], seed, low, high)

    def _value(self, path: str, *, training: bool) -> Any:
        """Returns a weight, or outside of training its average if there is one."""
        variable = self.weights[path] if training else self.averages.get(path, self.weights[path])
        return variable.value


def build_per_head(capacity: int, size: int = 1) -> Any:
    """Builds a variable float32 [T, 1, size] of a value for each head, all 0."""
    import keras

    return keras.Variable(np.zeros((capacity, 1, size), np.float32), trainable=False)


def assign_per_head(variable: Any, values: Sequence[Any]) -> None:
    """Assigns a value for each head to a variable float32 [T, 1, size]."""
    variable.assign(np.reshape(np.array(values, np.float32), variable.shape))


def _stacked_shape(value: npt.NDArray[np.float32]) -> tuple[int, ...]:
    """Returns the shape of a weight behind the axis of heads: vectors get an axis for rows."""
    return (1, *value.shape) if value.ndim == 1 else value.shape
