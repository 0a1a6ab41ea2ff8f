"""Training of many heads of one structure in one graph, each as if it trained alone.

Keras' own optimizers take the steps. They are elementwise, so the learning rate and the update
rule of each head are tensors float32 [T, 1, 1] that broadcast against the stacked weights. The
loss is the sum of the heads' losses, whose gradient for each head is that of its own loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tuning.batched_heads.head_spec import HeadSpec, HeadStructure
from tuning.batched_heads.stacked_head import StackedHead, assign_per_head, build_per_head
from tuning.optimization.losses import build_loss
from tuning.optimization.optimizer_config import build_optimizer, build_rules
from tuning.optimization.penalties import is_kernel
from tuning.optimization.update_rules import UpdateRule
from zoo.private_api import moving_averages, replace_clipping

_RULE_FIELDS = ("rate", "weight_decay", "l1", "l2")


class HeadStack:
    """Trains up to T heads of one structure; built and traced once, filled many times.

    Args:
        structure: The structure of the heads.
        activations: The activations that heads may have, rows of ACTIVATIONS. `prelu`, a
            matter of the structure, is ignored.
        capacity: T.
    """

    def __init__(self, structure: HeadStructure, activations: Sequence[str], capacity: int) -> None:
        import tensorflow as tf

        self.structure, self.capacity = structure, capacity
        self.activations = tuple(name for name in activations if name != "prelu")
        self._head = StackedHead(structure, self.activations, capacity)
        self._trained = list(self._head.trained.values())
        self._learning_rates = build_per_head(capacity)
        self._clip_values, self._smoothing = build_per_head(capacity), build_per_head(capacity)
        self._class_weights = build_per_head(capacity, structure.num_classes)
        has_l1 = structure.optimizer.row.step_size is not None
        self._rules = {
            variable.path: UpdateRule(
                rate=build_per_head(capacity),
                weight_decay=build_per_head(capacity),
                l1=build_per_head(capacity) if has_l1 and is_kernel(variable) else 0.0,
                l2=build_per_head(capacity) if is_kernel(variable) else 0.0,
            )
            for variable in self._trained
        }
        self._optimizer = build_optimizer(
            structure.optimizer.model_copy(update={"clip": "none"}),
            lambda: self._learning_rates.value,
            rule_of=lambda variable: self._rules[variable.path],
        )
        self._optimizer.build(self._trained)
        # Keras would clip the gradients of all heads together.
        replace_clipping(self._optimizer, self._clip)
        if structure.optimizer.ema:
            means = moving_averages(self._optimizer)
            self._head.averages = dict(zip(self._head.trained, means, strict=True))
        self._initial_slots = [_condense(v.numpy()) for v in self._optimizer.variables]
        self._loss = build_loss(structure.loss, focal_gamma=structure.focal_gamma, from_logits=True)
        # TensorFlow counts the methods of all instances as one function and warns of retracing;
        # a partial is a function of its own.
        options = {"autograph": False, "reduce_retracing": True}
        self._train = tf.function(partial(self._take_steps), **options)
        self._validate = tf.function(partial(self._measure), **options)

    def fill(self, specs: Sequence[HeadSpec], divisions: Sequence[int]) -> None:
        """Replaces the heads of the stack by new ones in their initial state.

        Args:
            specs: Up to T heads of this structure, sorted by activation in the order of
                `activations`. Copies of the last one fill the rest.
            divisions: Of each head, which of the D divisions of the images it reads.
        """
        num_copies = self.capacity - len(specs)
        specs = [*specs, *[specs[-1]] * num_copies]
        self._head.fill(specs, [*divisions, *[divisions[-1]] * num_copies])
        for variable, value in zip(self._optimizer.variables, self._initial_slots, strict=True):
            variable.assign(np.broadcast_to(value, variable.shape))
        assign_per_head(self._clip_values, [spec.optimizer.clip_value for spec in specs])
        assign_per_head(self._smoothing, [spec.label_smoothing for spec in specs])
        ones = (1.0,) * self.structure.num_classes
        assign_per_head(self._class_weights, [spec.class_weights or ones for spec in specs])
        for variable in self._trained:
            rules = [build_rules(spec.optimizer, spec.penalty)(variable) for spec in specs]
            for field in _RULE_FIELDS:
                values = getattr(self._rules[variable.path], field)
                if not isinstance(values, float):
                    assign_per_head(values, [getattr(rule, field) for rule in rules])

    def train(
        self,
        features: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
        sample_weights: npt.NDArray[np.float32],
        rates: npt.NDArray[np.float32],
        first_step: int,
    ) -> npt.NDArray[np.float32]:
        """Trains the heads for S steps.

        Args:
            features: float32 [S, D, B, F], the rows of each division.
            labels: int64 [S, D, B], the class of each row.
            sample_weights: float32 [S, D, B], the weight of each row in the loss, before that
                of its class.
            rates: float32 [S, T], learning rates.
            first_step: The number of steps taken before.

        Returns:
            float32 [T], the mean loss of each head over the steps.
        """
        return np.asarray(
            self._train(features, labels, sample_weights, rates, np.int64(first_step))
        )

    def validate(
        self, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Evaluates the heads, with averaged weights where the optimizer averages them.

        Args:
            features: float32 [D, N, F], the rows of each division.
            labels: int64 [D, N]; rows of class -1 do not count.

        Returns:
            float32 [2, T, N]: each head's losses, and 1 where it is right. Both are 0 at rows of
            class -1.
        """
        return np.asarray(self._validate(features, labels))

    def weights_of(self, index: int) -> list[npt.NDArray[np.float32]]:
        """Returns a head's weights, or their averages, in the order of its Keras model."""
        return self._head.weights_of(index)

    def _take_steps(
        self, features: Any, labels: Any, sample_weights: Any, rates: Any, first_step: Any
    ) -> Any:
        import tensorflow as tf

        trained = [variable.value for variable in self._trained]

        def take_step(index: Any, total: Any) -> tuple[Any, Any]:
            self._learning_rates.assign(rates[index][:, tf.newaxis, tf.newaxis])
            batch_labels = self._head.rows_of(labels[index])
            # [T, B], from class weights [T, C].
            weights = self._head.rows_of(sample_weights[index]) * tf.gather(
                self._class_weights.value[:, 0], batch_labels, batch_dims=1
            )
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(trained)
                logits = self._head.logits(
                    features[index], step=first_step + tf.cast(index, tf.int64)
                )
                losses = tf.reduce_mean(self._losses(logits, batch_labels) * weights, axis=1)
                loss = tf.reduce_sum(losses)
            self._optimizer.apply(tape.gradient(loss, trained), self._trained)
            return index + 1, total + losses

        num_steps = tf.shape(features)[0]
        start = (tf.constant(0), tf.zeros([self.capacity]))
        _, total = tf.while_loop(lambda index, _: index < num_steps, take_step, start)
        return total / tf.cast(num_steps, tf.float32)

    def _measure(self, features: Any, labels: Any) -> Any:
        import tensorflow as tf

        logits, labels = self._head.logits(features, step=None), self._head.rows_of(labels)
        counts = labels >= 0
        losses = tf.where(counts, self._losses(logits, tf.maximum(labels, 0)), 0.0)
        correct = tf.cast(tf.argmax(logits, axis=-1) == labels, tf.float32)
        return tf.stack([losses, correct])

    def _losses(self, logits: Any, labels: Any) -> Any:
        """Maps logits [T, B, C] and labels [T, B] to losses [T, B]."""
        import tensorflow as tf

        smoothing = self._smoothing.value
        targets = tf.one_hot(labels, self.structure.num_classes)
        targets = targets * (1.0 - smoothing) + smoothing / self.structure.num_classes
        return getattr(self._loss, "call", self._loss)(targets, logits)

    def _clip(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """Clips each head's gradients as Keras' optimizers clip those of one model."""
        import tensorflow as tf

        mode, bound = self.structure.optimizer.clip, self._clip_values.value
        if mode == "none":
            return gradients
        if mode == "value":
            return [tf.clip_by_value(g, -bound, bound) for g in gradients]
        squares = [tf.reduce_sum(g * g, axis=[1, 2], keepdims=True) for g in gradients]
        if mode == "global_norm":
            squares = [tf.add_n(squares)] * len(squares)
        # The maximum is above 0, so a gradient of zeros stays zero.
        norms = [tf.maximum(tf.sqrt(square), bound) for square in squares]
        return [g * (bound / norm) for g, norm in zip(gradients, norms, strict=True)]


def _condense(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns an array's only value if all are equal, as in most optimizers' initial slots."""
    all_equal = value.size and (value == value.flat[0]).all()
    return value.flat[0] if all_equal else value
