"""The performance schedule: against Keras' own callback, and carried over."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

from tuning.optimization.schedules import ScheduleConfig
from tuning.reduce_on_plateau import Plateau

LOSSES = [3.0, 2.0, 2.5, 2.0, 1.9, 1.95, 1.94, 1.93, 1.92, 1.91, 1.0, 1.0, 1.0, 1.0]


def _model() -> Any:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.8), "mse")
    return model


def _rates(plateau: Plateau, model: Any, losses: list[float]) -> list[float]:
    rates = []
    for loss in losses:
        plateau.end_validation(model, loss)
        rates.append(float(model.optimizer.learning_rate))
    return rates


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_rate_falls_as_with_the_callback_of_keras(patience: int) -> None:
    model = _model()
    theirs = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=patience, min_delta=0.0)
    theirs.set_model(model)
    theirs.on_train_begin()
    expected = []
    for epoch, loss in enumerate(LOSSES):
        theirs.on_epoch_end(epoch, {"val_loss": loss})
        expected.append(float(model.optimizer.learning_rate))
    plateau = Plateau(ScheduleConfig(name="reduce_on_plateau", factor=0.5, patience=patience))
    assert _rates(plateau, _model(), LOSSES) == pytest.approx(expected)
    assert expected[-1] < 0.8


def test_state_carried_over_goes_on_as_if_never_interrupted() -> None:
    config, model = ScheduleConfig(name="reduce_on_plateau", factor=0.5, patience=2), _model()
    whole = _rates(Plateau(config), _model(), LOSSES)
    first = Plateau(config)
    assert json.loads(json.dumps(first.state(), allow_nan=False))
    _rates(first, model, LOSSES[:7])
    second = Plateau(config)
    second.restore(json.loads(json.dumps(first.state())))
    np.testing.assert_allclose(_rates(second, model, LOSSES[7:]), whole[7:])


def test_other_schedules_are_left_alone() -> None:
    assert _rates(Plateau(ScheduleConfig()), _model(), LOSSES) == pytest.approx([0.8] * len(LOSSES))
