"""Reduce on plateau: compared with the callback of Keras, and resumed."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from tuning.optimization.schedules import ScheduleConfig
from tuning.reduce_on_plateau import ReduceOnPlateau

RATE = 0.8
LOSSES = [3.0, 2.0, 2.5, 2.0, 1.9, 1.95, 1.94, 1.93, 1.92, 1.91, 1.0, 1.0, 1.0, 1.0]


def _plateau(patience: int = 2) -> ReduceOnPlateau:
    return ReduceOnPlateau(ScheduleConfig(name="reduce_on_plateau", factor=0.5, patience=patience))


def _rates(plateau: ReduceOnPlateau, losses: list[float], rate: float = RATE) -> list[float]:
    factors = [plateau.update(loss) for loss in losses]
    return list(rate * np.cumprod(factors))


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_rate_falls_as_with_the_callback_of_keras(patience: int) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(RATE), "mse")
    callback = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=patience, min_delta=0.0)
    callback.set_model(model)
    callback.on_train_begin()
    expected = []
    for epoch, loss in enumerate(LOSSES):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        expected.append(float(model.optimizer.learning_rate))
    assert _rates(_plateau(patience), LOSSES) == pytest.approx(expected)
    assert expected[-1] < RATE


def test_restored_state_continues_as_if_never_interrupted() -> None:
    whole = _rates(_plateau(), LOSSES)
    first, second = _plateau(), _plateau()
    assert json.loads(json.dumps(first.state(), allow_nan=False))
    before = _rates(first, LOSSES[:7])
    second.restore(json.loads(json.dumps(first.state())))
    np.testing.assert_allclose([*before, *_rates(second, LOSSES[7:], before[-1])], whole)


def test_rate_stays_under_other_schedules() -> None:
    assert _rates(ReduceOnPlateau(ScheduleConfig()), LOSSES) == [RATE] * len(LOSSES)
