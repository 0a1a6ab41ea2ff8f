"""Descent in studies, against formulas in NumPy, SciPy, scikit-learn and Keras."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import optimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from pipelines.studies.batch_normalization import final_accuracy
from pipelines.studies.batch_size import TARGET, reach
from pipelines.studies.early_stopping import replay
from pipelines.studies.experiments.adam import RATE, Adam, train_with_adam
from pipelines.studies.experiments.digits import Digits, standardized
from pipelines.studies.experiments.landscapes import (
    LANDSCAPES,
    RATES,
    rosenbrock,
    valley,
    walk,
)
from pipelines.studies.experiments.networks import last_values, network, train_settings
from pipelines.studies.experiments.unlabeled_layers import (
    UNITS,
    autoencoder_layers,
    boltzmann_layers,
    random_layers,
    tuned_accuracy,
)
from pipelines.studies.steps import Steps
from tuning.batched_heads.trainer import HeadTrainer


def test_rows_are_standardized_as_by_scikit_learn() -> None:
    data = Digits(0, train=100)
    plain = Digits(0, train=100, prepare=lambda shown, rows: rows)
    scaler = StandardScaler().fit(plain.rows.astype(np.float64))
    for rows, expected in ((data.rows, plain.rows), (data.validation_rows, plain.validation_rows)):
        np.testing.assert_allclose(rows, scaler.transform(expected), atol=1e-4)
    constant = standardized(np.ones((3, 2)), np.ones((2, 2)))
    np.testing.assert_array_equal(constant, np.zeros((2, 2)))


@pytest.mark.parametrize("size", [1, 20, 60])
def test_epoch_has_every_row_once(size: int) -> None:
    data = Digits(0, train=60, batch_size=size)
    for epoch in range(2):
        (batches,) = data.train(epoch)
        shown = batches.features.reshape(-1, data.num_features)
        np.testing.assert_array_equal(np.unique(shown, axis=0), np.unique(data.rows, axis=0))


def test_folds_share_the_rows_out() -> None:
    data = Digits(0, train=50, batch_size=10)
    folds = [data.fold(number, 5) for number in range(5)]
    held = np.concatenate([fold.validation_rows for fold in folds])
    assert len(np.unique(held, axis=0)) == len(np.unique(data.rows, axis=0))
    for fold in folds:
        assert (len(fold.rows), fold.num_validated, fold.steps_per_epoch) == (40, 10, 4)
        shown = {row.tobytes() for row in fold.rows}
        assert not shown & {row.tobytes() for row in fold.validation_rows}


def test_training_rows_can_be_those_of_validation() -> None:
    same = Digits(0, train=50).validated_on_training_rows()
    assert same.validation_rows is same.rows
    assert same.num_validated == len(same.validation_labels) == 50


def test_share_of_labels_is_wrong() -> None:
    plain, mixed = Digits(0, train=100), Digits(0, train=100, mislabeled=0.2)
    assert (plain.labels != mixed.labels).sum() == 20
    np.testing.assert_array_equal(plain.validation_labels, mixed.validation_labels)


@pytest.mark.slow
def test_head_descends_as_by_the_formula(tmp_path: Path) -> None:
    """Softmax regression by gradient descent with momentum, whose batch is all rows."""
    spec = network(head={"hidden": ()}, optimizer={"learning_rate": 0.1}, epochs=3)

    def data(seed: int) -> Digits:
        return Digits(seed, train=40, batch_size=40)

    curves = train_settings(Steps(tmp_path / "s.json", ""), {"one": spec}, 1, data)
    rows, labels = data(0).rows.astype(np.float64), data(0).labels
    outcome = HeadTrainer().train(
        [spec.model_copy(update={"epochs": 1, "optimizer": spec.optimizer.model_copy(
            update={"learning_rate": 1e-12})})], data(0), keep_weights=True,
    )[0]  # fmt: skip
    kernel, bias = (weight.astype(np.float64) for weight in outcome.weights or ())
    speed = [np.zeros_like(kernel), np.zeros_like(bias)]
    losses = []
    for _ in range(3):
        logits = rows @ kernel + bias
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        losses.append(-np.log(shares[np.arange(40), labels]).mean())
        errors = (shares - np.eye(10)[labels]) / 40
        for part, gradient in zip(speed, (rows.T @ errors, errors.sum(axis=0)), strict=True):
            part *= 0.9
            part -= 0.1 * gradient
        kernel, bias = kernel + speed[0], bias + speed[1]
    assert [epoch["loss"] for epoch in curves["one"][0]] == pytest.approx(losses, abs=1e-4)
    assert last_values(curves, "one", "loss") == pytest.approx(losses[-1:], abs=1e-4)


def test_landscapes_are_those_of_scipy() -> None:
    for x, y in ((-1.5, 1.5), (1.0, 1.0), (0.3, -0.7)):
        assert rosenbrock(x, y) == pytest.approx(optimize.rosen([x, y]))
    assert np.linalg.cond(optimize.approx_fprime(
        [0.2, 0.1], lambda p: optimize.approx_fprime(p, lambda q: valley(*q), 1e-6), 1e-4
    )) == pytest.approx(100, rel=0.01)  # fmt: skip


@pytest.mark.parametrize("place", LANDSCAPES)
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_paths_are_those_of_the_formulas(name: str, place: str) -> None:
    landscape, start = LANDSCAPES[place]
    found = walk(name, landscape, start, steps=21)
    rate, point, speed = RATES[name], np.array(start), np.zeros(2)
    for step in range(21):
        if step % 10 == 0:
            np.testing.assert_allclose(found["path"][step // 10], point, rtol=1e-3, atol=1e-4)
        # Keras' point is the paper's look-ahead point.
        gradient = optimize.approx_fprime(point, lambda p: landscape(*p), 1e-7)
        beta = 0.0 if name == "sgd" else 0.9
        speed = beta * speed - rate * gradient
        point = point + (beta * speed - rate * gradient if name == "nesterov" else speed)


@pytest.mark.parametrize("rate", [0.019, 0.021])
def test_descent_diverges_beyond_two_over_the_largest_curvature(
    rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RATES, "sgd", rate)
    values = walk("sgd", valley, (0.0, 1.0), steps=40)["values"]
    assert (values[-1] < values[0]) == (rate < 2 / 100)


@pytest.mark.parametrize("corrected", [True, False])
def test_adam_is_that_of_keras_and_of_the_formula(corrected: bool) -> None:
    rng = np.random.default_rng(0)
    weights, gradients = [rng.normal(size=4)], [rng.normal(size=(6, 4))]
    start, steps = weights[0].copy(), [[gradient] for gradient in gradients[0]]
    optimizer = Adam(0.99, corrected=corrected)
    for step in steps:
        optimizer.apply(step, weights)
    if corrected:
        variable = keras.Variable(start.astype(np.float32))
        by_keras = keras.optimizers.Adam(RATE, beta_2=0.99, epsilon=1e-8)
        for step in steps:
            by_keras.apply([step[0].astype(np.float32)], [variable])
        np.testing.assert_allclose(weights[0], variable.numpy(), atol=1e-6)
    else:
        point, mean, square = start, np.zeros(4), np.zeros(4)
        for (gradient,) in steps:
            mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
            point = point - RATE * mean / (np.sqrt(square) + 1e-8)
        np.testing.assert_allclose(weights[0], point, atol=1e-12)


def test_first_step_without_correction_is_longer_by_the_ratio_of_the_biases() -> None:
    data = Digits(0, train=64)
    for beta, corrected, expected in ((0.999, True, 1.0), (0.999, False, 0.1 / 0.001**0.5)):
        found = train_with_adam(data, beta, corrected=corrected, epochs=1, hidden=8)
        assert found["first_step"] == pytest.approx(expected, rel=0.02)
        assert len(found["losses"]) == 2


def test_target_is_reached_in_the_first_epoch_below_it() -> None:
    loss = [[1.0, 0.2, TARGET, 0.0], [1.0, 0.2, TARGET - 0.01, 0.0]]
    numbers = {"batch": {"loss": loss, "s_per_epoch": 0.5},
               "online": {"loss": [[1.0], [1.0]], "s_per_epoch": 1.0}}  # fmt: skip
    assert reach(numbers, "batch") == (3, 1.5)
    assert reach(numbers, "online") == (np.inf, np.inf)


@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_replayed_stopping_is_that_of_keras(patience: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses = (np.linspace(1, -1, 30) ** 2 + 0.1 * rng.normal(size=30)).tolist()
    callback = keras.callbacks.EarlyStopping("val_loss", patience=patience)
    callback.set_model(keras.Sequential())
    callback.model.stop_training = False
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if callback.model.stop_training:
            break
    assert replay(losses, patience, 1) == (epoch + 1, pytest.approx(callback.best))
    epochs, kept = replay(losses, patience, 3)
    assert epochs % 3 == 0
    assert kept == min(losses[2:epochs:3])


def test_network_that_diverged_counts_as_chance() -> None:
    whole, broken = [{"val_accuracy": 0.5}, {"val_accuracy": 0.9}], [{"val_accuracy": 0.8}]
    assert final_accuracy({"one": [whole, broken]}, "one", 2) == [0.9, 0.1]


@pytest.mark.slow
def test_tuned_network_is_as_good_as_that_of_scikit_learn() -> None:
    data = Digits(0, train=300, prepare=lambda shown, rows: rows)
    reference = MLPClassifier(UNITS, activation="logistic", learning_rate_init=0.003, alpha=0,
                              batch_size=200, max_iter=300, random_state=0, tol=0)  # fmt: skip
    with pytest.warns(ConvergenceWarning):
        reference.fit(data.rows[:200], data.labels[:200])
    expected = reference.score(data.validation_rows, data.validation_labels)
    assert tuned_accuracy(random_layers(0), data, 200) == pytest.approx(expected, abs=0.05)


@pytest.mark.slow
def test_layers_without_labels_restore_pixels_better_than_the_mean() -> None:
    rows = Digits(0, train=300, prepare=lambda shown, rows: rows).rows
    for build, epochs in ((autoencoder_layers, 30), (boltzmann_layers, 10)):
        layers = build(rows, 0, epochs)
        assert [kernel.shape for kernel, _ in layers] == [(64, 128), (128, 128)]
        code = rows
        for kernel, bias in layers:
            code = 1 / (1 + np.exp(-(code @ kernel + bias)))
        # What a linear map can restore from a quarter of the code.
        code = ((code - code.mean(axis=0)) / code.std(axis=0))[:, ::4]
        design = np.hstack([code, np.ones((len(rows), 1))])
        restored = design @ np.linalg.lstsq(design, rows, rcond=1e-6)[0]
        assert ((restored - rows) ** 2).mean() < ((rows.mean(axis=0) - rows) ** 2).mean() / 3
