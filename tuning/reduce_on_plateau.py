"""Reduce the learning rate when the validation loss stops falling."""

from __future__ import annotations

import math
from typing import Any

from tuning.optimization.schedules import SCHEDULES, ScheduleConfig


class ReduceOnPlateau:
    """Decides when to multiply the learning rate by a factor below 1.

    Unlike `keras.callbacks.ReduceLROnPlateau` it needs no model, keeps its state when
    training is resumed (`state`, `restore`) and accepts epochs without validation.

    Args:
        config: Its `factor` and `patience`. Under another schedule than
            `reduce_on_plateau` the learning rate is never reduced.

    Example:
        >>> config = ScheduleConfig(name="reduce_on_plateau", factor=0.5, patience=2)
        >>> plateau = ReduceOnPlateau(config)
        >>> [plateau.update(val_loss) for val_loss in (1.0, 0.8, 0.9, 0.8)]
        [1.0, 1.0, 1.0, 0.5]
    """

    def __init__(self, config: ScheduleConfig) -> None:
        self.config = config
        self.active = SCHEDULES[config.name].by_validation
        self.best = math.inf
        self.wait = 0

    def update(self, val_loss: float) -> float:
        """Records a validation loss.

        Args:
            val_loss: The validation loss of the epoch that has ended.

        Returns:
            The factor to multiply the learning rate by; 1 leaves it as it is.
        """
        if not self.active:
            return 1.0
        if val_loss < self.best:
            self.best, self.wait = val_loss, 0
            return 1.0
        self.wait += 1
        if self.wait < self.config.patience:
            return 1.0
        self.wait = 0
        return self.config.factor

    def state(self) -> dict[str, Any]:
        """Returns the state as JSON values, for `restore`."""
        return {"best": self.best if math.isfinite(self.best) else None, "wait": self.wait}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from a state that `state` returned."""
        self.best = math.inf if state["best"] is None else float(state["best"])
        self.wait = int(state["wait"])
