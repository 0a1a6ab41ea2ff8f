"""Learning-rate finder: raise the learning rate batch by batch, and read the loss curve.

The range test is by Smith, 2017, "Cyclical Learning Rates for Training Neural Networks",
https://arxiv.org/abs/1506.01186, section 3.3. The point of the curve to choose is by Howard,
https://docs.fast.ai/callback.schedule.html.
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

_MIN_RATE, _MAX_RATE, _NUM_RATES = 1e-6, 10.0, 100
# Standard deviation of the Gaussian that smooths the losses, in rates; a decade has 14 rates.
_SMOOTHING_STDDEV = 5.0
# The first rates are too low to change the loss: their median loss is that before training.
_NUM_INITIAL_RATES = 10
# Fraction of the fall, at its beginning and at its end, that may be noise.
_NOISE = 0.25
# Multiple of the initial loss above which training has diverged.
_DIVERGED = 2.0


@dataclass(frozen=True)
class RateCurve:
    """The loss as a function of the learning rate.

    Args:
        rates: float64 [N], rising geometrically.
        losses: float64 [N], the mean loss of the batches at each rate, before their step.
    """

    rates: npt.NDArray[np.float64]
    losses: npt.NDArray[np.float64]

    @property
    def initial_loss(self) -> float:
        """The loss before training."""
        return float(np.median(self.losses[:_NUM_INITIAL_RATES]))

    @property
    def diverged(self) -> bool:
        """Whether the last losses are far above the initial loss."""
        return bool(np.median(self.losses[-3:]) > _DIVERGED * self.initial_loss)

    @cached_property
    def smoothed(self) -> npt.NDArray[np.float64]:
        """The losses, float64 [N], smoothed by a Gaussian over neighboring rates."""
        from scipy.ndimage import gaussian_filter1d

        # A diverged loss would dominate its neighbors.
        bounded = np.minimum(self.losses, _DIVERGED * self.initial_loss)
        return np.asarray(gaussian_filter1d(bounded, _SMOOTHING_STDDEV, mode="nearest"))

    @property
    def lowest_index(self) -> int:
        """The index of the lowest smoothed loss; higher rates are too high."""
        return int(self.smoothed.argmin())

    @property
    def suggestion(self) -> float:
        """The learning rate to train with: where the smoothed loss falls most steeply.

        Only the middle of the fall is searched, since before and after it noise is steep in
        places. At most a tenth of the rate of the lowest loss, which is the edge of stability.

        Raises:
            TrainingError: The loss never fell.
        """
        lowest = self.lowest_index
        if lowest < _NUM_INITIAL_RATES or self.smoothed[lowest] >= self.initial_loss:
            raise TrainingError(
                "no learning rate made the loss fall",
                expected=f"a loss below the initial {self.initial_loss:.4g}",
                received=f"a lowest loss of {self.smoothed.min():.4g}",
                mend="check the data: zoo audit DATA",
            )
        falling = self.smoothed[: lowest + 1]
        fallen = (self.initial_loss - falling) / (self.initial_loss - falling[-1])
        before = np.flatnonzero(fallen <= _NOISE)
        start = int(before[-1]) if len(before) else 0
        end = start + 1 + int(np.argmax(fallen[start + 1 :] >= 1 - _NOISE))
        # Rates are evenly spaced in their logarithm, so this is the slope on that axis.
        steepest = start + int(np.gradient(falling[start : end + 1]).argmin())
        return min(float(self.rates[steepest]), float(self.rates[lowest]) / 10)


def run_range_test(
    model: Any,
    batches: Iterator[tuple[Any, Any, Any]],
    *,
    batches_per_rate: int = 1,
) -> RateCurve:
    """Trains a model at learning rates from 1e-6 to 10, or until the loss diverges.

    The model's weights are of no use afterwards.

    Args:
        model: A compiled Keras model whose optimizer has a constant learning rate.
        batches: Images, targets and sample weights; at least `100 × batches_per_rate`.
        batches_per_rate: Batches for each of the 100 rates; their losses are averaged.

    Raises:
        TrainingError: The loss at the first rate is not finite.
    """
    losses: list[float] = []
    rates = np.geomspace(_MIN_RATE, _MAX_RATE, _NUM_RATES)
    for rate in rates:
        model.optimizer.learning_rate = float(rate)
        loss = math.fsum(_train_on_batch(model, next(batches)) for _ in range(batches_per_rate))
        if not math.isfinite(loss):
            break
        losses.append(loss / batches_per_rate)
        if RateCurve(rates[: len(losses)], np.array(losses)).diverged:
            break
    if not losses:
        raise TrainingError(
            "the loss is not finite before training",
            expected="a finite loss",
            received=f"{loss}",
            mend="check the data: zoo audit DATA",
        )
    return RateCurve(rates[: len(losses)], np.array(losses))


def _train_on_batch(model: Any, batch: tuple[Any, Any, Any]) -> float:
    images, targets, weights = batch
    # Keras reports the mean since the last reset.
    model.reset_metrics()
    logs = model.train_on_batch(images, targets, sample_weight=weights, return_dict=True)
    return float(logs["loss"])
