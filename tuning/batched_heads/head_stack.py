"""Stack: many heads of one shape as one model, each trained as if it were alone.

Every weight has the heads in front: a kernel is float32 [T, F, U], a bias [T, 1, U].
What differs between the heads (learning rate, dropout, penalties and so on) is a tensor
[T, 1, 1] beside it. Keras' own optimizers take the steps: theirs are elementwise, so a
rate for each head is a factor like any other. The loss is the sum of the heads' losses,
whose gradient is for every head that of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tuning.batched_heads.head_spec import HeadSpec, Shape, Start, start_of
from tuning.optimization.losses import build_loss
from tuning.optimization.optimizers import OPTIMIZERS, build_optimizer, build_rules
from tuning.optimization.penalties import is_kernel
from tuning.optimization.update_rules import UpdateRule
from zoo.heads.activations import ACTIVATIONS
from zoo.heads.head import HeadConfig
from zoo.private_api import moving_averages, replace_clipping

_RULES = ("rate", "weight_decay", "l1", "l2")


class Stack:
    """T heads of one shape; made and traced once, filled again and again.

    Args:
        shape: What they have in common.
        activations: Those that may occur, rows of ACTIVATIONS; `prelu` has a shape of
            its own and is passed over.
        capacity: T.
    """

    def __init__(self, shape: Shape, activations: Sequence[str], capacity: int) -> None:
        import keras
        import tensorflow as tf

        self.shape, self.capacity = shape, capacity
        self.activations = tuple(name for name in activations if name != "prelu")
        self._layers = {n: ACTIVATIONS[n].build(f"stacked_{n}") for n in self.activations}
        start = self._start_of(self._widest())
        self._seeds = start.seeds
        self._weights: dict[str, Any] = {}
        for path, value in start.weights.items():
            scope, _, name = path.rpartition("/")
            with keras.name_scope(scope):
                self._weights[path] = keras.Variable(
                    np.zeros((capacity, *_stacked(value)), np.float32),
                    trainable=path in start.trained,
                    name=name,
                )
        self._trained = [self._weights[path] for path in start.weights if path in start.trained]
        hidden = [f"hidden{i}_dropout" for i, _ in enumerate(shape.head.hidden, start=1)]
        self._dropout = {name: self._per_head() for name in ("input_dropout", *hidden)}
        self._learning_rates, self._clip_at = self._per_head(), self._per_head()
        self._smoothing = self._per_head()
        # Weights that a head has not got are there and change nothing.
        self._normed, self._biased = self._per_head(), self._per_head()
        self._class_weights = self._per_head(shape.num_classes)
        # How many heads in a row have each activation.
        self._counts = tf.Variable(np.zeros(len(self.activations), np.int32))
        l1 = OPTIMIZERS[shape.optimizer.name].step_size is not None
        self._rules = {
            variable.path: UpdateRule(
                rate=self._per_head(),
                weight_decay=self._per_head(),
                l1=self._per_head() if l1 and is_kernel(variable) else 0.0,
                l2=self._per_head() if is_kernel(variable) else 0.0,
            )
            for variable in self._trained
        }
        self._optimizer = build_optimizer(
            shape.optimizer.model_copy(update={"clip": "none"}),
            lambda: self._learning_rates.value,
            rule_of=lambda variable: self._rules[variable.path],
        )
        self._optimizer.build(self._trained)
        replace_clipping(self._optimizer, self._clip)
        self._fresh = [_condensed(variable.numpy()) for variable in self._optimizer.variables]
        self._loss = build_loss(shape.loss, focal_gamma=shape.focal_gamma)
        # Partials, for TensorFlow takes methods of one name for one function traced too often.
        options = {"autograph": False, "reduce_retracing": True}
        self._train = tf.function(partial(self._take_steps), **options)
        self._validate = tf.function(partial(self._measure), **options)

    def fill(self, members: Sequence[HeadSpec]) -> None:
        """Puts heads into the stack, at their start.

        Args:
            members: At most T of this shape, sorted by activation in the order of
                `activations`. What is left over is filled with copies of the last.
        """
        members = [*members, *[members[-1]] * (self.capacity - len(members))]
        starts = [self._start_of(member.head).weights for member in members]
        self._paths = [list(start) for start in starts]
        spare = self._start_of(self._widest()).weights
        for path, variable in self._weights.items():
            values = [start.get(path, spare[path]) for start in starts]
            variable.assign(np.stack([value.reshape(_stacked(value)) for value in values]))
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(np.broadcast_to(value, variable.shape))
        for name, rates in self._dropout.items():
            setting = "input_dropout" if name == "input_dropout" else "dropout"
            _set(rates, [getattr(member.head, setting) for member in members])
        normed = [member.head.batch_norm for member in members]
        _set(self._normed, normed)
        biased = [
            not n or m.head.batch_norm_position == "after"
            for n, m in zip(normed, members, strict=True)
        ]
        _set(self._biased, biased)
        _set(self._clip_at, [member.optimizer.clip_value for member in members])
        _set(self._smoothing, [member.label_smoothing for member in members])
        ones = (1.0,) * self.shape.num_classes
        _set(self._class_weights, [member.class_weights or ones for member in members])
        for variable in self._trained:
            rules = [build_rules(m.optimizer, m.penalty)(variable) for m in members]
            for part in _RULES:
                tensor = getattr(self._rules[variable.path], part)
                if not isinstance(tensor, float):
                    _set(tensor, [getattr(rule, part) for rule in rules])
        names = [member.head.activation for member in members]
        self._counts.assign([names.count(name) for name in self.activations])

    def train(
        self,
        features: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
        shares: npt.NDArray[np.float32],
        rates: npt.NDArray[np.float32],
        first_step: int,
    ) -> npt.NDArray[np.float32]:
        """Takes steps.

        Args:
            features: float32 [S, B, F], a batch a step.
            labels: int64 [S, B].
            shares: float32 [S, B], what each row counts, whatever its class.
            rates: float32 [S, T], learning rates.
            first_step: How many steps were taken before.

        Returns:
            float32 [T], the mean loss of each head over these steps.
        """
        return np.asarray(self._train(features, labels, shares, rates, np.int64(first_step)))

    def validate(
        self, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Measures the heads; where their weights are averaged, by the averages.

        Args:
            features: float32 [N, F].
            labels: int64 [N].

        Returns:
            float32 [2, T]: the sums of the losses, and how many rows were answered right.
        """
        return np.asarray(self._validate(features, labels))

    def weights_of(self, index: int) -> list[npt.NDArray[np.float32]]:
        """Returns a head's weights as its Keras model has them, or their averages."""
        values = []
        for path in self._paths[index]:
            value = np.asarray(self._value(path, training=False)[index])
            values.append(value if path.endswith("kernel") else value[0])
        return values

    def _widest(self) -> HeadConfig:
        """A head that has every weight and every seed that one of this shape may have."""
        head = self.shape.head
        # Normalized before the activation, it would have no bias.
        widest: dict[str, Any] = {"batch_norm": True, "batch_norm_position": "after"}
        if head.activation != "prelu" and "rrelu" in self.activations:
            widest["activation"] = "rrelu"
        return head.model_copy(update=widest)

    def _start_of(self, head: HeadConfig) -> Start:
        shape = self.shape
        return start_of(head, shape.num_features, shape.num_classes, shape.seed)

    def _per_head(self, size: int = 1) -> Any:
        import keras

        return keras.Variable(np.zeros((self.capacity, 1, size), np.float32), trainable=False)

    def _take_steps(
        self, features: Any, labels: Any, shares: Any, rates: Any, first_step: Any
    ) -> Any:
        import tensorflow as tf

        trained = [variable.value for variable in self._trained]

        def step(number: Any, total: Any) -> tuple[Any, Any]:
            self._learning_rates.assign(rates[number][:, tf.newaxis, tf.newaxis])
            rows = labels[number]
            weights = shares[number] * tf.gather(self._class_weights.value[:, 0], rows, axis=1)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(trained)
                logits = self._logits(features[number], step=first_step + tf.cast(number, tf.int64))
                losses = tf.reduce_mean(self._losses(logits, rows) * weights, axis=1)
                loss = tf.reduce_sum(losses)
            self._optimizer.apply(tape.gradient(loss, trained), self._trained)
            return number + 1, total + losses

        count = tf.shape(features)[0]
        start = (tf.constant(0), tf.zeros([self.capacity]))
        _, total = tf.while_loop(lambda number, _: number < count, step, start)
        return total / tf.cast(count, tf.float32)

    def _measure(self, features: Any, labels: Any) -> Any:
        import tensorflow as tf

        logits = self._logits(features, step=None)
        losses = tf.reduce_sum(self._losses(logits, labels), axis=1)
        right = tf.argmax(logits, axis=-1) == labels
        return tf.stack([losses, tf.reduce_sum(tf.cast(right, tf.float32), axis=1)])

    def _losses(self, logits: Any, labels: Any) -> Any:
        """Maps logits [T, B, C] and labels [B] to losses [T, B]."""
        import tensorflow as tf

        smoothing = self._smoothing.value
        targets = tf.one_hot(labels, self.shape.num_classes)
        targets = targets * (1.0 - smoothing) + smoothing / self.shape.num_classes
        return getattr(self._loss, "call", self._loss)(targets, logits)

    def _logits(self, features: Any, *, step: Any) -> Any:
        """Maps features [B, F] to logits [T, B, C]; without a step, as in validation."""
        import tensorflow as tf

        head = self.shape.head
        after = head.batch_norm_position == "after"
        x = tf.tile(features[tf.newaxis], [self.capacity, 1, 1])
        x = self._drop(x, "input_dropout", step)
        for number, _ in enumerate(head.hidden, start=1):
            name = f"hidden{number}"
            x = self._dense(x, name, step, self._biased.value)
            x = x if after else self._normalize(x, name, step)
            x = self._activate(x, name, step)
            x = self._normalize(x, name, step) if after else x
            x = self._drop(x, f"{name}_dropout", step)
        return self._dense(x, "logits", step)

    def _dense(self, x: Any, name: str, step: Any, biased: Any = 1.0) -> Any:
        import tensorflow as tf

        x = tf.matmul(x, self._value(f"{name}/kernel", training=step is not None))
        return x + biased * self._value(f"{name}/bias", training=step is not None)

    def _normalize(self, x: Any, name: str, step: Any) -> Any:
        import tensorflow as tf

        scope, momentum, epsilon = f"{name}_norm", 0.9, 1e-3
        moving = [self._weights[f"{scope}/moving_{s}"] for s in ("mean", "variance")]
        if step is not None:
            moments = tf.nn.moments(x, axes=[1], keepdims=True)
            for variable, now in zip(moving, moments, strict=True):
                variable.assign(variable.value * momentum + now * (1.0 - momentum))
        else:
            moments = [variable.value for variable in moving]
        gamma, beta = (
            self._value(f"{scope}/{s}", training=step is not None) for s in ("gamma", "beta")
        )
        normal = tf.nn.batch_normalization(x, *moments, beta, gamma, epsilon)
        return tf.where(self._normed.value > 0, normal, x)

    def _activate(self, x: Any, name: str, step: Any) -> Any:
        import tensorflow as tf

        if self.shape.head.activation == "prelu":
            slope = self._value(f"{name}_prelu/alpha", training=step is not None)
            return tf.nn.relu(x) - slope * tf.nn.relu(-x)
        parts = tf.split(x, self._counts, num=len(self.activations))
        done = [
            self._leak(part, name, step)
            if activation == "rrelu" and step is not None
            else self._layers[activation](part)
            for activation, part in zip(self.activations, parts, strict=True)
        ]
        return tf.ensure_shape(tf.concat(done, axis=0), x.shape)

    def _leak(self, x: Any, name: str, step: Any) -> Any:
        """RReLU: a slope for every unit of every row, the same in every head."""
        import tensorflow as tf

        layer = self._layers["rrelu"]
        slope = self._draw(x, f"{name}_rrelu", step, layer.lower, layer.upper)
        return tf.where(x >= 0, x, slope * x)

    def _drop(self, x: Any, name: str, step: Any) -> Any:
        """Dropout: one draw for every unit of every row, which each head holds to its rate."""
        import tensorflow as tf

        if step is None:
            return x
        rates = self._dropout[name].value
        kept = self._draw(x, name, step) >= rates
        return tf.where(kept, x * (1.0 / (1.0 - rates)), 0.0)

    def _draw(self, x: Any, name: str, step: Any, low: float = 0.0, high: float = 1.0) -> Any:
        """Draws float32 [B, U] as the layer of that name does in Keras at this step."""
        import tensorflow as tf

        # As Keras brings the state of a seed generator to what TensorFlow takes.
        first = self._seeds[name] % (tf.int32.max - 1)
        seed = tf.stack([first, tf.cast(step, tf.int32)])
        return tf.random.stateless_uniform(tf.shape(x)[1:], seed, low, high)

    def _clip(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """Clips each head's gradients, as Keras' optimizers clip one model's."""
        import tensorflow as tf

        mode, bound = self.shape.optimizer.clip, self._clip_at.value
        if mode == "none":
            return gradients
        if mode == "value":
            return [tf.clip_by_value(g, -bound, bound) for g in gradients]
        squares = [tf.reduce_sum(g * g, axis=[1, 2], keepdims=True) for g in gradients]
        if mode == "global_norm":
            squares = [tf.add_n(squares)] * len(squares)
        # A gradient of nothing but zeros stays that.
        norms = [tf.maximum(tf.sqrt(square), bound) for square in squares]
        return [g * (bound / norm) for g, norm in zip(gradients, norms, strict=True)]

    def _value(self, path: str, *, training: bool) -> Any:
        """Returns a weight, or outside of training its average where averages are kept."""
        variable = self._weights[path]
        if training or not self.shape.optimizer.ema or not variable.trainable:
            return variable.value
        place = next(i for i, other in enumerate(self._trained) if other is variable)
        return moving_averages(self._optimizer)[place].value


def _stacked(value: npt.NDArray[np.float32]) -> tuple[int, ...]:
    """The shape of a weight behind the heads: vectors get an axis for the batch."""
    return (1, *value.shape) if value.ndim == 1 else value.shape


def _condensed(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One number where an array holds nothing else: what optimizers start from."""
    same = value.size and (value == value.flat[0]).all()
    return value.flat[0] if same else value


def _set(variable: Any, values: Sequence[Any]) -> None:
    variable.assign(np.reshape(np.array(values, np.float32), variable.shape))
