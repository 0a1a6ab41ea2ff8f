"""The performance schedule: a lower learning rate when validation stops improving."""

from __future__ import annotations

import math
from typing import Any

from tuning.optimization.schedules import SCHEDULES, ScheduleConfig


class Plateau:
    """Multiplies the learning rate when the validation loss has not fallen for a while.

    Keras' `ReduceLROnPlateau` forgets all it knows when training is resumed, and warns
    of every epoch that is not validated; `state` and `restore` carry what this one
    knows. The rate itself is a variable of the optimizer.

    Args:
        config: Whose `factor` and `patience`; with another schedule it does nothing.
    """

    def __init__(self, config: ScheduleConfig) -> None:
        self.config = config
        self.active = SCHEDULES[config.name].by_validation
        self.best = math.inf
        self.wait = 0

    def end_validation(self, model: Any, val_loss: float) -> None:
        """Takes a validation loss into account.

        Args:
            model: A compiled Keras model, whose optimizer has a constant rate.
            val_loss: Of the epoch that has ended.
        """
        if not self.active:
            return
        if val_loss < self.best:
            self.best, self.wait = val_loss, 0
            return
        self.wait += 1
        if self.wait >= self.config.patience:
            self.wait = 0
            rate = float(model.optimizer.learning_rate)
            model.optimizer.learning_rate = rate * self.config.factor

    def state(self) -> dict[str, Any]:
        """Returns what `restore` needs: JSON values."""
        return {"best": self.best if math.isfinite(self.best) else None, "wait": self.wait}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from where another instance stood."""
        self.best = math.inf if state["best"] is None else float(state["best"])
        self.wait = int(state["wait"])
