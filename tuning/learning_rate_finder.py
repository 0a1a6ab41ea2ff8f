"""The learning-rate finder: raise the rate batch by batch and watch the loss.

Reference: Smith, 2017, "Cyclical Learning Rates for Training Neural Networks",
https://arxiv.org/abs/1506.01186, section 3.3; where on the curve to read the rate off is
Howard's, https://docs.fast.ai/callback.schedule.html.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.errors import TrainingError

# Standard deviation of the window that smooths losses, in rates; there are 14 to a decade.
_WINDOW = 5.0
# Rates at the start, too low to do anything: what their losses are, the loss is untrained.
_IDLE = 10
# Share of the whole fall, at its beginning and at its end, that may be noise.
_NOISE = 0.25
# Times the untrained loss, beyond which training has gone wrong for good.
_DIVERGED = 2.0


@dataclass(frozen=True)
class RateCurve:
    """What the loss did while the learning rate rose.

    Args:
        rates: float64 [N], rising geometrically.
        losses: float64 [N], of the batches at each rate, before their step.
    """

    rates: npt.NDArray[np.float64]
    losses: npt.NDArray[np.float64]

    @property
    def untrained(self) -> float:
        """The loss before anything is learned."""
        return float(np.median(self.losses[:_IDLE]))

    @property
    def diverged(self) -> bool:
        """Whether the last losses are far above the untrained one."""
        return bool(np.median(self.losses[-3:]) > _DIVERGED * self.untrained)

    @cached_property
    def smoothed(self) -> npt.NDArray[np.float64]:
        """The losses, float64 [N], averaged over neighboring rates by a Gaussian window."""
        from scipy.ndimage import gaussian_filter1d

        # One that has exploded would drown its neighbors.
        bounded = np.minimum(self.losses, _DIVERGED * self.untrained)
        return np.asarray(gaussian_filter1d(bounded, _WINDOW, mode="nearest"))

    @property
    def lowest(self) -> int:
        """Where the smoothed loss is lowest: beyond, the rate is too high."""
        return int(self.smoothed.argmin())

    @property
    def suggestion(self) -> float:
        """The rate to train with: where the smoothed loss falls most steeply.

        Looked for in the middle of the fall: before and after it, a noisy loss falls
        steeply at times, and rises again. At most a tenth of the rate at which it is
        lowest, where training only just holds.

        Raises:
            TrainingError: The loss never fell.
        """
        if self.lowest < _IDLE or self.smoothed[self.lowest] >= self.untrained:
            raise TrainingError(
                "no learning rate made the loss fall",
                expected=f"a loss below {self.untrained:.4g}, where it began",
                received=f"{self.smoothed.min():.4g} at best",
                mend="look at the data: zoo audit DATA",
            )
        falling = self.smoothed[: self.lowest + 1]
        fallen = (self.untrained - falling) / (self.untrained - falling[-1])
        before = np.flatnonzero(fallen <= _NOISE)
        start = int(before[-1]) if len(before) else 0
        end = start + 1 + int(np.argmax(fallen[start + 1 :] >= 1 - _NOISE))
        # Evenly spaced in the logarithm of the rate, as people look at it.
        steepest = start + int(np.gradient(falling[start : end + 1]).argmin())
        return min(float(self.rates[steepest]), float(self.rates[self.lowest]) / 10)


def try_rates(
    model: Any,
    batches: Iterator[tuple[Any, Any, Any]],
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    num_rates: int = 100,
    batches_per_rate: int = 1,
) -> RateCurve:
    """Trains a model while its learning rate rises; ends early once the loss explodes.

    The model is worth nothing afterwards.

    Args:
        model: A compiled Keras model whose optimizer has a constant rate.
        batches: Images, targets and weights, at least `num_rates × batches_per_rate`.
        lowest: The first rate, above 0.
        highest: The last rate.
        num_rates: How many there are, evenly on a logarithmic scale.
        batches_per_rate: Batches to each, whose losses are averaged.

    Raises:
        TrainingError: The very first loss is not a number.
    """
    losses: list[float] = []
    rates = np.geomspace(lowest, highest, num_rates)
    for rate in rates:
        model.optimizer.learning_rate = float(rate)
        loss = math.fsum(_loss(model, next(batches)) for _ in range(batches_per_rate))
        if not math.isfinite(loss):
            break
        losses.append(loss / batches_per_rate)
        if RateCurve(rates[: len(losses)], np.array(losses)).diverged:
            break
    if not losses:
        raise TrainingError(
            "the loss is not a number before anything is trained",
            expected="a finite loss",
            mend="look at the data: zoo audit DATA",
        )
    return RateCurve(rates[: len(losses)], np.array(losses))


def _loss(model: Any, batch: tuple[Any, Any, Any]) -> float:
    images, targets, weights = batch
    # Keras reports the mean since the last reset.
    model.reset_metrics()
    logs = model.train_on_batch(images, targets, sample_weight=weights, return_dict=True)
    return float(logs["loss"])
