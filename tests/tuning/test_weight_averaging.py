"""Weight averaging: the averages, and validation with them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tuning.optimization.optimizer_config import OptimizerConfig, build_optimizer
from tuning.weight_averaging import averaged_weights, build_averaging_callbacks

X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def _model(ema: float) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    )
    config = OptimizerConfig(name="sgd", learning_rate=0.1, ema=ema)
    model.compile(build_optimizer(config), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def test_averages_before_the_first_step_are_the_weights() -> None:
    model = _model(ema=0.9)
    for kept, weight in zip(averaged_weights(model), model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)


def test_averages_are_those_of_trained_weights_and_leave_others_as_they_are() -> None:
    model, path = _model(ema=0.8), []
    for _ in range(3):
        model.train_on_batch(X, Y)
        path.append(model.get_weights())
    names = [weight.name for weight in model.weights]
    assert names == ["gamma", "beta", "moving_mean", "moving_variance", "kernel", "bias"]
    for index, (name, kept) in enumerate(zip(names, averaged_weights(model), strict=True)):
        first, second, third = (weights[index] for weights in path)
        average = 0.8 * (0.8 * first + 0.2 * second) + 0.2 * third
        expected = third if name.startswith("moving") else average
        np.testing.assert_allclose(kept, expected, rtol=1e-6, atol=1e-7)


def test_validation_uses_the_averages_and_training_the_weights() -> None:
    model, plain = _model(ema=0.8), _model(ema=0.0)
    plain.set_weights(model.get_weights())
    assert build_averaging_callbacks(plain) == []
    options = {"epochs": 4, "batch_size": 4, "shuffle": False, "verbose": 0}
    with_averages = model.fit(
        X, Y, validation_data=(X, Y), callbacks=build_averaging_callbacks(model), **options
    ).history
    assert with_averages["loss"] == plain.fit(X, Y, **options).history["loss"]
    plain.set_weights(averaged_weights(model))
    expected = plain.evaluate(X, Y, verbose=0)
    assert with_averages["val_loss"][-1] == pytest.approx(expected, rel=1e-5)
