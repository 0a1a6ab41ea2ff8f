"""Early stopping: keep the best weights by validation, and end training without improvement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tuning.weight_averaging import averaged_weights
from zoo.config import Config
from zoo.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np


class StoppingConfig(Config):
    """When to validate, which epoch is best, and when to end training early.

    Args:
        monitor: The validation metric to monitor. Of two epochs of the same accuracy the one
            with the lower loss is better. An overconfident head's loss can rise while its
            accuracy still improves, so `val_loss` may stop it too early.
        every: Epochs between two validations, at least 1. The last epoch of a phase is always
            validated.
        patience: Validations without improvement after which training ends; 0 disables early
            stopping.
        min_delta: The smallest change that counts as an improvement, in the metric's unit.
    """

    monitor: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    every: Annotated[int, Field(ge=1)] = 1
    patience: Annotated[int, Field(ge=0)] = 5
    min_delta: Annotated[float, Field(ge=0)] = 0.0


def validated_epochs(config: StoppingConfig, first: int, last: int) -> list[int]:
    """Returns the epochs of a phase after which to validate, counted from 1 as in Keras.

    Args:
        config: Its `every`.
        first: The number of epochs before the phase.
        last: The number of epochs at the end of the phase.

    Example:
        >>> validated_epochs(StoppingConfig(every=4), 0, 10)
        [4, 8, 10]
    """
    return [*range(first + config.every, last, config.every), last]


class EarlyStopping:
    """Keeps the best weights, and ends training after `patience` validations without better.

    `keras.callbacks.EarlyStopping` compares with NaN for ever if the first epoch gives NaN,
    and forgets the best epoch when training is resumed. This one raises an error on NaN and
    keeps its state (`state`, `restore`).

    Args:
        config: The metric to monitor and the patience.
    """

    def __init__(self, config: StoppingConfig) -> None:
        self.config = config
        self.best = math.inf if config.monitor == "val_loss" else -math.inf
        self.best_loss = math.inf
        self.best_epoch = -1
        self.wait = 0
        self.best_weights: list[np.ndarray] = []

    def end_epoch(self, model: Any, epoch: int, logs: Mapping[str, Any]) -> bool:
        """Records an epoch, and copies the model's weights if it is the best so far.

        Args:
            model: A compiled Keras model.
            epoch: Counted from 0.
            logs: The metrics that Keras reports: `loss` and, if the epoch was validated,
                `val_loss` and the monitored metric.

        Returns:
            Whether to continue training.

        Raises:
            TrainingError: A loss is NaN or infinite.
        """
        if self.update(epoch, logs):
            self.best_weights = averaged_weights(model)
        return not self.stopped

    def update(self, epoch: int, logs: Mapping[str, Any]) -> bool:
        """Records an epoch's metrics, without its weights.

        Args:
            epoch: Counted from 0.
            logs: As for `end_epoch`.

        Returns:
            Whether the epoch is the best so far.

        Raises:
            TrainingError: A loss is NaN or infinite.
        """
        monitored = {
            name: float(logs[name]) for name in ("loss", self.config.monitor) if name in logs
        }
        if not all(map(math.isfinite, monitored.values())):
            raise TrainingError(
                f"the loss is not finite in epoch {epoch + 1}",
                expected="a finite loss",
                received=", ".join(f"{name} {value}" for name, value in monitored.items()),
                mend="lower optimizer.learning_rate, in fine-tuning fine_tune.learning_rate",
            )
        if self.config.monitor not in monitored:
            return False
        value, val_loss = monitored[self.config.monitor], float(logs["val_loss"])
        gain = self.best - value if self.config.monitor == "val_loss" else value - self.best
        better = gain == 0 and val_loss < self.best_loss - self.config.min_delta
        if gain > self.config.min_delta or better:
            self.best, self.best_loss = value, val_loss
            self.best_epoch, self.wait = epoch, 0
            return True
        self.wait += 1
        return False

    @property
    def stopped(self) -> bool:
        """Whether the patience is exhausted."""
        return bool(self.config.patience) and self.wait >= self.config.patience

    def restore_best(self, model: Any) -> None:
        """Sets the best weights in the model they were copied from."""
        if self.best_weights:
            model.set_weights(self.best_weights)

    def state(self) -> dict[str, Any]:
        """Returns the state without the weights as JSON values, for `restore`."""
        return {
            "best": self.best,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "wait": self.wait,
        }

    def restore(self, state: dict[str, Any], best_weights: list[np.ndarray]) -> None:
        """Continues from a state that `state` returned, and its best weights."""
        self.best = float(state["best"])
        self.best_loss = float(state["best_loss"])
        self.best_epoch = int(state["best_epoch"])
        self.wait = int(state["wait"])
        self.best_weights = best_weights
