"""Course of one head among others: its learning rate, its early stopping and its outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tuning.batched_heads.head_spec import HeadSpec
from tuning.early_stopping import EarlyStopping, validated_epochs
from tuning.optimization.schedules import ScheduleConfig, build_schedule
from tuning.reduce_on_plateau import ReduceOnPlateau
from zoo.errors import TrainingError

Epochs = Literal["none", "best", "all"]
"""Validated epochs of which something is kept."""


@dataclass
class Outcome:
    """The outcome of training a head.

    Args:
        score: The best value of the monitored metric; NaN if training failed.
        loss: The validation loss of the best epoch.
        best_epoch: The best epoch, counted from 0; -1 before the first validation.
        epochs: The number of epochs trained.
        failure: Why training failed; empty if it did not.
        history: For every epoch `loss` and, if it was validated, `val_loss` and
            `val_accuracy`.
        weights: The weights of the best epoch in the order of Keras, if they were requested.
        image_metrics: By epoch, counted from 0, of those that were requested float32 [2, N]: of
            each validation row the loss, and 1 where it is right.
    """

    score: float = math.nan
    loss: float = math.nan
    best_epoch: int = -1
    epochs: int = 0
    failure: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    weights: list[npt.NDArray[np.float32]] | None = None
    image_metrics: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict)


class HeadRun:
    """Learning rate, early stopping and outcome of one head of a stack.

    Args:
        spec: The head.
        index: Its place in the stack.
        steps_per_epoch: Batches of an epoch.
        keep_image_metrics: Epochs of which to keep what each validation row scored.
    """

    def __init__(
        self, spec: HeadSpec, index: int, steps_per_epoch: int, keep_image_metrics: Epochs
    ) -> None:
        self.spec, self.index, self.keep_image_metrics = spec, index, keep_image_metrics
        self.outcome = Outcome()
        self.stopping = EarlyStopping(spec.stopping)
        self.plateau = ReduceOnPlateau(spec.schedule)
        self.validated = {*validated_epochs(spec.stopping, 0, spec.epochs), spec.max_epochs}
        self.steps_per_epoch = steps_per_epoch
        self.peak_rate = float(spec.optimizer.learning_rate or 0.0)

    def is_active(self, epoch: int) -> bool:
        """Returns whether the head trains in an epoch."""
        ended = epoch >= self.spec.max_epochs or self.stopping.stopped
        return not ended and not self.outcome.failure

    def learning_rates(self, epoch: int) -> npt.NDArray[np.float32]:
        """Returns the learning rate of each step of an epoch."""
        steps = self.steps_per_epoch
        factors = _schedule_factors(self.spec.schedule, steps * self.spec.epochs, steps)
        of_epoch = factors[epoch * steps : (epoch + 1) * steps]
        return np.asarray(of_epoch * np.float32(self.peak_rate))

    def end_epoch(
        self,
        epoch: int,
        logs: dict[str, float],
        image_metrics: npt.NDArray[np.float32] | None,
    ) -> bool:
        """Records an epoch's metrics; returns whether it is the best so far.

        Args:
            epoch: Counted from 0.
            logs: `loss` and, if the epoch was validated, `val_loss` and `val_accuracy`.
            image_metrics: Of each validation row, see `Outcome`; None if there was none.
        """
        outcome, stopping = self.outcome, self.stopping
        outcome.history.append(logs)
        outcome.epochs = epoch + 1
        try:
            is_best = stopping.update(epoch, logs)
        except TrainingError as error:
            self.outcome = Outcome(failure=str(error), epochs=epoch + 1, history=outcome.history)
            return False
        if "val_loss" in logs:
            self.peak_rate *= self.plateau.update(logs["val_loss"])
        outcome.score, outcome.loss = stopping.best, stopping.best_loss
        outcome.best_epoch = stopping.best_epoch
        if image_metrics is not None:
            if self.keep_image_metrics == "all":
                outcome.image_metrics[epoch] = image_metrics.copy()
            elif self.keep_image_metrics == "best" and is_best:
                outcome.image_metrics = {epoch: image_metrics.copy()}
        return is_best


@lru_cache(maxsize=1024)
def _schedule_factors(
    config: ScheduleConfig, num_steps: int, steps_per_epoch: int
) -> npt.NDArray[np.float32]:
    """Computes a schedule with a peak of 1 at each step: every schedule scales with its peak."""
    import tensorflow as tf

    schedule = build_schedule(config, 1.0, num_steps, steps_per_epoch)
    if isinstance(schedule, float):
        return np.full(num_steps, schedule, np.float32)
    # A partial is a function of its own; the traces of lambdas count as those of one.
    compute = tf.function(partial(_map_steps, schedule), autograph=False)
    return np.asarray(compute(tf.range(num_steps)))


def _map_steps(schedule: Any, steps: Any) -> Any:
    import tensorflow as tf

    return tf.map_fn(schedule, steps, fn_output_signature=tf.float32)
