"""Early stopping: the best weights, the patience, NaN and resumption."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from tuning.early_stopping import EarlyStopping, StoppingConfig, validated_epochs
from zoo.errors import TrainingError


def _model() -> Any:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    return model


def _run(stopping: EarlyStopping, model: Any, values: list[float], first: int = 0) -> int:
    """Records one value an epoch, with the epoch as the weight; returns the epochs run."""
    for epoch, value in enumerate(values, start=first):
        model.set_weights([np.full((1, 1), epoch, np.float32)])
        # The loss only rises, so that a monitored accuracy decides alone.
        logs = {"loss": 1.0, "val_loss": float(epoch), stopping.config.monitor: value}
        if not stopping.end_epoch(model, epoch, logs):
            return epoch + 1
    return first + len(values)


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("val_loss", [3.0, 1.0, 2.0, 2.0, 0.5], 1),
        ("val_accuracy", [0.1, 0.9, 0.9, 0.8, 0.95], 1),
    ],
)
def test_early_stopping_ends_after_patience_and_restores_the_best(
    monitor: Any, values: list[float], best: int
) -> None:
    model = _model()
    stopping = EarlyStopping(StoppingConfig(monitor=monitor, patience=2))
    assert _run(stopping, model, values) == 4
    assert stopping.stopped
    assert stopping.best_epoch == best
    stopping.restore_best(model)
    assert model.get_weights()[0].item() == best


def test_lower_loss_decides_between_equal_accuracies() -> None:
    model = _model()
    stopping = EarlyStopping(StoppingConfig(monitor="val_accuracy", patience=2))
    for epoch, val_loss in enumerate([0.5, 0.3, 0.4, 0.4]):
        model.set_weights([np.full((1, 1), epoch, np.float32)])
        logs = {"loss": 1.0, "val_accuracy": 0.9, "val_loss": val_loss}
        going = stopping.end_epoch(model, epoch, logs)
    assert (stopping.best_epoch, going) == (1, False)


def test_patience_of_zero_never_stops() -> None:
    stopping = EarlyStopping(StoppingConfig(monitor="val_loss", patience=0))
    assert _run(stopping, _model(), [1.0] + [2.0] * 20) == 21
    assert not stopping.stopped


def test_improvement_below_min_delta_does_not_count() -> None:
    stopping = EarlyStopping(StoppingConfig(monitor="val_loss", patience=2, min_delta=0.1))
    assert _run(stopping, _model(), [1.0, 0.95, 0.92, 0.1]) == 3


@pytest.mark.parametrize(
    "logs", [{"loss": np.nan, "val_loss": 1.0}, {"loss": 1.0, "val_loss": np.inf}]
)
def test_loss_that_is_not_finite_raises_in_the_first_epoch(logs: dict[str, float]) -> None:
    stopping = EarlyStopping(StoppingConfig(monitor="val_loss"))
    with pytest.raises(TrainingError, match=r"not finite in epoch 1; .* lower optimizer"):
        stopping.end_epoch(_model(), 0, logs)


def test_restored_state_continues_as_if_never_interrupted() -> None:
    values = [3.0, 1.0, 2.0, 1.5, 1.2, 0.1]
    whole_model, model = _model(), _model()
    whole, first = (EarlyStopping(StoppingConfig(monitor="val_loss", patience=3)) for _ in range(2))
    ended = _run(whole, whole_model, values)
    _run(first, model, values[:3])
    second = EarlyStopping(StoppingConfig(monitor="val_loss", patience=3))
    second.restore(first.state(), first.best_weights)
    assert _run(second, model, values[3:], first=3) == ended
    assert second.state() == whole.state()
    np.testing.assert_array_equal(second.best_weights[0], whole.best_weights[0])


def test_best_weights_are_a_copy() -> None:
    model = _model()
    stopping = EarlyStopping(StoppingConfig())
    _run(stopping, model, [1.0])
    model.set_weights([np.full((1, 1), 99, np.float32)])
    assert stopping.best_weights[0].item() == 0


@pytest.mark.parametrize(
    ("every", "first", "last", "expected"),
    [(1, 0, 3, [1, 2, 3]), (4, 0, 10, [4, 8, 10]), (2, 3, 7, [5, 7]), (9, 0, 3, [3])],
)
def test_validated_epochs_include_the_last_of_a_phase(
    every: int, first: int, last: int, expected: list[int]
) -> None:
    assert validated_epochs(StoppingConfig(every=every), first, last) == expected


def test_epochs_without_validation_are_checked_for_a_finite_loss_only() -> None:
    stopping, model = EarlyStopping(StoppingConfig(monitor="val_loss", patience=1)), _model()
    assert stopping.end_epoch(model, 0, {"loss": 1.0, "val_loss": 1.0})
    assert stopping.end_epoch(model, 1, {"loss": 1.0})
    assert not stopping.end_epoch(model, 2, {"loss": 1.0, "val_loss": 2.0})
    assert stopping.best_epoch == 0
    with pytest.raises(TrainingError, match=r"not finite in epoch 4; .* received loss nan;"):
        stopping.end_epoch(model, 3, {"loss": np.nan})
