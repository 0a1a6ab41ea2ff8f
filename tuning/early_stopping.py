"""Early stopping: keep the best weights by validation, stop when they stop improving."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tuning.weight_averaging import weights_to_keep
from zoo.config import Config
from zoo.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np


class StoppingConfig(Config):
    """When training ends before its last epoch, and what "best" means.

    Args:
        monitor: The validation figure to watch. Of two epochs of the same accuracy
            the one of the lower loss is better. The loss alone would stop a head
            early that grows too sure of itself while it still grows better.
        every: Epochs from one validation to the next, at least 1; the last epoch of a
            phase is always validated.
        patience: Validations without improvement before it stops; 0 never stops.
        min_delta: What counts as an improvement, in the figure's own unit.
    """

    monitor: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    every: Annotated[int, Field(ge=1)] = 1
    patience: Annotated[int, Field(ge=0)] = 5
    min_delta: Annotated[float, Field(ge=0)] = 0.0


def validated_epochs(config: StoppingConfig, first: int, last: int) -> list[int]:
    """Returns the epochs of a phase that are validated, counted from 1 as Keras does.

    Args:
        config: How often.
        first: Epochs before the phase.
        last: Epochs when it ends.

    Example:
        >>> validated_epochs(StoppingConfig(every=4), 0, 10)
        [4, 8, 10]
    """
    return [*range(first + config.every, last, config.every), last]


class EarlyStopping:
    """Keeps the best weights, stops after `patience` validations without better ones.

    Keras' own compares with NaN for ever once a first epoch gave NaN, and
    forgets its best after a resume; this one ends training on a NaN with an
    error, and `state`/`restore` carry everything it knows.

    Args:
        config: What to watch and for how long.
    """

    def __init__(self, config: StoppingConfig) -> None:
        self.config = config
        self.best = math.inf if config.monitor == "val_loss" else -math.inf
        self.best_loss = math.inf
        self.best_epoch = -1
        self.wait = 0
        self.best_weights: list[np.ndarray] = []

    def end_epoch(self, model: Any, epoch: int, logs: Mapping[str, Any]) -> bool:
        """Compares an epoch with the best so far, and keeps the weights if it is better.

        Args:
            model: The model in training.
            epoch: From 0.
            logs: What Keras measured: `loss` and, where the epoch was validated,
                `val_loss` and the figure that is watched.

        Returns:
            Whether to go on.

        Raises:
            TrainingError: A loss is not a number.
        """
        if self.judge(epoch, logs):
            self.best_weights = weights_to_keep(model)
        return not self.stopped

    def judge(self, epoch: int, logs: Mapping[str, Any]) -> bool:
        """Compares an epoch with the best so far, whose figures it keeps, not its weights.

        Args:
            epoch: From 0.
            logs: As `end_epoch` takes them.

        Returns:
            Whether it is better.

        Raises:
            TrainingError: A loss is not a number.
        """
        watched = {
            name: float(logs[name]) for name in ("loss", self.config.monitor) if name in logs
        }
        if not all(map(math.isfinite, watched.values())):
            raise TrainingError(
                f"the loss is no longer a number in epoch {epoch + 1}",
                expected="a finite loss",
                received=", ".join(f"{name} {value}" for name, value in watched.items()),
                mend="lower optimizer.learning_rate, or fine_tune.learning_rate if it came then",
            )
        if self.config.monitor not in watched:
            return False
        value, val_loss = watched[self.config.monitor], float(logs["val_loss"])
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
        """Whether the last validation used the patience up."""
        return bool(self.config.patience) and self.wait >= self.config.patience

    def restore_best(self, model: Any) -> None:
        """Puts the best weights back into the model they came from."""
        if self.best_weights:
            model.set_weights(self.best_weights)

    def state(self) -> dict[str, Any]:
        """Returns what `restore` needs, apart from the weights: JSON values."""
        return {
            "best": self.best,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "wait": self.wait,
        }

    def restore(self, state: dict[str, Any], best_weights: list[np.ndarray]) -> None:
        """Goes on from where another instance stood."""
        self.best = float(state["best"])
        self.best_loss = float(state["best_loss"])
        self.best_epoch = int(state["best_epoch"])
        self.wait = int(state["wait"])
        self.best_weights = best_weights
