"""Learning-rate finder, on a regression whose largest stable rate is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from tuning.learning_rate_finder import RateCurve, run_range_test
from zoo.errors import TrainingError

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(4000, 8)) * np.linspace(0.5, 2, 8)).astype(np.float32)
Y = (X @ RNG.normal(size=(8, 1)) + 0.1 * RNG.normal(size=(4000, 1))).astype(np.float32)
# Descent on ‖Xθ − y‖² / N is stable up to 2 / (the largest eigenvalue of its Hessian).
LARGEST = 2 / np.linalg.eigvalsh(2 * X.T @ X / len(X)).max()


def _model() -> Any:
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def _batches() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    while True:
        rows = RNG.integers(0, len(X), 256)
        yield X[rows], Y[rows], np.ones(256, np.float32)


def test_suggestion_is_fast_and_stable() -> None:
    curve = run_range_test(_model(), _batches())
    assert LARGEST / 100 < curve.suggestion < LARGEST
    assert curve.rates[-1] > LARGEST, "it went on until the loss exploded"
    assert len(curve.rates) < 100, "and not much further"

    def loss_after(rate: float) -> float:
        model = _model()
        model.optimizer.learning_rate = rate
        batches = _batches()
        for _ in range(20):
            x, y, _ = next(batches)
            model.train_on_batch(x, y)
        return float(np.mean((model.predict(X, verbose=0) - Y) ** 2))

    suggested, slower = loss_after(curve.suggestion), loss_after(curve.suggestion / 30)
    assert suggested < 0.5 * slower


def test_range_test_raises_rates_geometrically_and_averages_losses() -> None:
    class Recording:
        """A model that records learning rates."""

        def __init__(self) -> None:
            self.optimizer = keras.optimizers.SGD(1.0)
            self.rates: list[float] = []

        def reset_metrics(self) -> None:
            pass

        def train_on_batch(self, *batch: Any, **options: Any) -> dict[str, float]:
            self.rates.append(float(self.optimizer.learning_rate))
            return {"loss": 10 + len(self.rates) / 1000}

    model = Recording()
    curve = run_range_test(model, iter([(0, 0, 0)] * 200), batches_per_rate=2)
    expected = 10.0 ** np.linspace(-6, 1, 100)
    np.testing.assert_allclose(curve.rates, expected)
    np.testing.assert_allclose(model.rates, np.repeat(expected, 2), rtol=1e-6)
    np.testing.assert_allclose(curve.losses, 10 + (2 * np.arange(100) + 1.5) / 1000)


def test_suggestion_is_the_steepest_point_of_a_known_curve() -> None:
    # Falls from 2 to 1 like a logistic curve around 1e-3, and rises beyond 1.
    rates = np.geomspace(1e-6, 10, 100)
    losses = 2 - 1 / (1 + (1e-3 / rates) ** 2) + np.maximum(rates - 1, 0)
    curve = RateCurve(rates, losses)
    assert curve.suggestion == pytest.approx(1e-3, rel=0.2)
    assert curve.initial_loss == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_suggestion_ignores_noise_before_and_after_the_fall(seed: int) -> None:
    rates = np.geomspace(1e-6, 10, 100)
    noise = np.random.default_rng(seed).normal(0, 0.3, len(rates))
    losses = 2 - 1 / (1 + 1e-2 / rates)
    assert 5e-4 < RateCurve(rates, losses + noise).suggestion < 0.3


def test_suggestion_raises_if_the_loss_never_falls() -> None:
    rates = np.geomspace(1e-6, 10, 100)
    with pytest.raises(TrainingError, match=r"no learning rate made the loss fall; .* zoo audit"):
        _ = RateCurve(rates, 1 + rates).suggestion


def test_range_test_ends_at_nan_and_raises_if_the_first_loss_is_nan() -> None:
    model, batches = _model(), _batches()
    wrong = iter([next(batches), (X[:4] * np.nan, Y[:4], np.ones(4, np.float32))])
    assert len(run_range_test(model, wrong).rates) == 1
    with pytest.raises(TrainingError, match=r"not finite before training; .* received nan"):
        run_range_test(_model(), iter([(X[:4] * np.nan, Y[:4], np.ones(4, np.float32))]))
