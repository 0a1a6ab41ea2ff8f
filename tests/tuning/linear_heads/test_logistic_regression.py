"""Logistic regression, beside scikit-learn's and SciPy's."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from tuning.linear_heads.logistic_regression import (
    Floats,
    LinearHead,
    compute_log_losses,
    fit_logistic_regression,
    fit_path,
    one_hot,
)
from tuning.linear_heads.strengths import STRENGTHS, Division, choose_strength
from tuning.unknown_scores import fit_mahalanobis, fit_neighbors, score_neighbors_of_others

Labels = np.ndarray[Any, np.dtype[np.int64]]


def _problem(
    num_rows: int, num_features: int, num_classes: int = 3, seed: int = 0
) -> tuple[Floats, Labels]:
    """Returns standardized features of overlapping classes, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_rows) % num_classes
    centers = rng.normal(size=(num_classes, num_features))
    rows = 0.5 * centers[labels] + rng.normal(size=(num_rows, num_features))
    return ((rows - rows.mean(axis=0)) / rows.std(axis=0)).astype(np.float32), labels


def _objective(
    head: LinearHead,
    rows: Floats,
    targets: Floats,
    l2: float,
    sample_weights: Floats | None = None,
) -> float:
    """The penalized loss, in float64."""
    kernel = head.kernel.astype(np.float64)
    log_probabilities = log_softmax(rows.astype(np.float64) @ kernel + head.bias, axis=1)
    losses = -(targets * log_probabilities).sum(axis=1)
    if sample_weights is not None:
        losses *= sample_weights
    return float(losses.mean() + l2 * np.square(kernel).sum())


def _reference(
    rows: Floats, labels: Labels, l2: float, sample_weights: Floats | None = None
) -> LogisticRegression:
    model = LogisticRegression(C=1 / (2 * len(rows) * l2), tol=1e-10, max_iter=10_000)
    return model.fit(rows.astype(np.float64), labels, sample_weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("l2", [1.0, 0.03, 1e-3])
@pytest.mark.parametrize(
    "shape",
    [(120, 10, 3), (150, 8, 2), (40, 90, 4), (4500, 6, 3)],
    ids=["three classes", "two", "fewer rows than features", "several blocks of rows"],
)
def test_head_gives_the_probabilities_of_scikit_learn(
    shape: tuple[int, int, int], l2: float, weighted: bool
) -> None:
    rows, labels = _problem(*shape)
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.2, 3, len(rows)).astype(np.float32) if weighted else None
    targets = one_hot(labels, shape[2])
    head = fit_logistic_regression(rows, targets, l2, sample_weights=weights)
    if shape[2] == 2:
        # One logit of scikit-learn's stands for the difference of two, each penalized: ‖w‖²
        # there is ‖w/2‖² + ‖w/2‖² here, half as much.
        reference = _reference(rows, labels, l2 / 2, weights)
    else:
        reference = _reference(rows, labels, l2, weights)
    expected = reference.predict_log_proba(rows.astype(np.float64))
    # Where the loss is flat, weights move further than the loss does.
    np.testing.assert_allclose(np.exp(head.log_probabilities(rows)), np.exp(expected), atol=4e-3)
    kernel, bias = reference.coef_.T, reference.intercept_
    if shape[2] == 2:
        kernel, bias = np.hstack([-kernel / 2, kernel / 2]), np.hstack([-bias / 2, bias / 2])
    least = _objective(
        LinearHead(kernel.astype(np.float32), bias.astype(np.float32)), rows, targets, l2, weights
    )
    assert _objective(head, rows, targets, l2, weights) == pytest.approx(least, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.05, 0.3])
def test_head_of_smoothed_labels_minimizes_their_cross_entropy(smoothing: float) -> None:
    rows, labels = _problem(90, 6)
    num_classes, l2 = 3, 0.01
    targets = np.full((len(rows), num_classes), smoothing / num_classes)
    targets[np.arange(len(rows)), labels] += 1 - smoothing
    head = fit_logistic_regression(rows, one_hot(labels, num_classes, smoothing), l2)

    def objective(flat: Any) -> float:
        kernel, bias = np.split(flat, [6 * num_classes])
        logits = rows.astype(np.float64) @ kernel.reshape(6, num_classes) + bias
        losses = -(targets * log_softmax(logits, axis=1)).sum(axis=1)
        return float(losses.mean() + l2 * np.square(kernel).sum())

    best = minimize(objective, np.zeros(7 * num_classes), method="BFGS", options={"gtol": 1e-7})
    kernel = best.x[: 6 * num_classes].reshape(6, num_classes)
    np.testing.assert_allclose(head.kernel, kernel, atol=2e-3)
    assert objective(np.concatenate([head.kernel.ravel(), head.bias])) == pytest.approx(
        best.fun, rel=1e-6
    )


def test_one_hot_spreads_a_share_over_all_classes() -> None:
    np.testing.assert_allclose(one_hot(np.array([1, 0]), 2), [[0, 1], [1, 0]])
    np.testing.assert_allclose(
        one_hot(np.array([2]), 4, 0.2), [[0.05, 0.05, 0.85, 0.05]], rtol=1e-6
    )


def test_log_losses_are_those_of_scikit_learn() -> None:
    rows, labels = _problem(50, 4)
    rng = np.random.default_rng(2)
    head = LinearHead(
        rng.normal(size=(4, 3)).astype(np.float32), np.array([0.5, -1, 0], np.float32)
    )
    log_probabilities = head.log_probabilities(rows)
    losses = compute_log_losses(log_probabilities, labels)
    assert losses.mean() == pytest.approx(log_loss(labels, np.exp(log_probabilities)), rel=1e-5)


def test_log_probabilities_of_large_logits_are_finite() -> None:
    head = LinearHead(np.array([[1000.0, -1000.0]], np.float32), np.zeros(2, np.float32))
    found = head.log_probabilities(np.ones((1, 1), np.float32))
    np.testing.assert_array_equal(found, [[0.0, -2000.0]])


def test_coordinates_of_few_rows_give_the_head_of_the_whole_problem() -> None:
    rows, labels = _problem(30, 80)
    targets, l2 = one_hot(labels, 3), 0.02
    head = fit_logistic_regression(rows, targets, l2)
    # Rows of weight 0 change nothing but the number of rows, which the weights make up for.
    padded = np.concatenate([rows, np.zeros((70, 80), np.float32)])
    weights = np.concatenate([np.ones(30), np.zeros(70)]).astype(np.float32) * np.float32(100 / 30)
    whole = fit_logistic_regression(
        padded, np.concatenate([targets, np.zeros((70, 3), np.float32)]), l2, sample_weights=weights
    )
    np.testing.assert_allclose(head.kernel, whole.kernel, atol=1e-3)
    assert _objective(head, rows, targets, l2) == pytest.approx(
        _objective(whole, rows, targets, l2), rel=1e-5
    )


def test_repeated_rows_and_constant_features_do_no_harm() -> None:
    rows, labels = _problem(12, 40)
    rows[:, 7] = 0
    targets = one_hot(np.tile(labels, 3), 3)
    head = fit_logistic_regression(np.tile(rows, (3, 1)), targets, 0.05)
    once = fit_logistic_regression(rows, one_hot(labels, 3), 0.05)
    np.testing.assert_allclose(head.kernel, once.kernel, atol=1e-3)
    np.testing.assert_allclose(head.kernel[7], 0, atol=1e-5)


@pytest.mark.parametrize("shape", [(60, 5), (20, 50)])
@pytest.mark.parametrize("num_classes", [2, 7])
def test_first_loss_is_that_of_chance(shape: tuple[int, int], num_classes: int) -> None:
    rows, _ = _problem(*shape)
    zeros = LinearHead.zeros(shape[1], num_classes)
    np.testing.assert_allclose(-zeros.log_probabilities(rows), math.log(num_classes), rtol=1e-6)


@pytest.mark.parametrize("shape", [(60, 5), (20, 50)])
def test_each_iteration_is_reported_and_lowers_the_loss(shape: tuple[int, int]) -> None:
    rows, labels = _problem(*shape)
    targets, heads = one_hot(labels, 3), list[LinearHead]()

    def record(head: LinearHead, log_probabilities: np.ndarray) -> None:
        heads.append(head)
        expected = head.log_probabilities(rows)
        np.testing.assert_allclose(log_probabilities, expected, rtol=1e-4, atol=1e-5)

    result = fit_logistic_regression(rows, targets, 0.01, on_iteration=record)
    losses = [_objective(head, rows, targets, 0.01) for head in heads]
    assert 3 < len(losses) < 100
    assert losses == sorted(losses, reverse=True)
    assert losses[0] < math.log(3)
    np.testing.assert_array_equal(heads[-1].kernel, result.kernel)
    np.testing.assert_array_equal(heads[-1].bias, result.bias)
    assert result.kernel.shape == (shape[1], 3)


def test_fit_ends_after_so_many_iterations() -> None:
    rows, labels = _problem(60, 5)
    heads: list[LinearHead] = []
    fit_logistic_regression(
        rows,
        one_hot(labels, 3),
        1e-4,
        max_iterations=2,
        on_iteration=lambda head, _: heads.append(head),
    )
    assert len(heads) == 2


@contextmanager
def _busy_thread() -> Iterator[None]:
    """Multiplies matrices in another thread for as long as the context lasts."""
    ended = threading.Event()
    matrix = np.random.default_rng(0).normal(size=(300, 300))

    def work() -> None:
        while not ended.is_set():
            matrix @ matrix

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("num_rows", "num_features"),
    [(200, 60), (50, 300), (9000, 40)],
    ids=["one block", "few rows", "several blocks"],
)
def test_fit_repeats_to_the_bit_on_any_number_of_cores_and_beside_a_busy_thread(
    num_rows: int, num_features: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, labels = _problem(num_rows, num_features, 5)
    targets = one_hot(labels, 5)

    def fit() -> LinearHead:
        return fit_logistic_regression(rows, targets, 0.01, max_iterations=5)

    heads = [fit()]
    with _busy_thread():
        heads.append(fit())
    for cores in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        heads.append(fit())
    for other in heads[1:]:
        np.testing.assert_array_equal(heads[0].kernel, other.kernel)
        np.testing.assert_array_equal(heads[0].bias, other.bias)


@pytest.mark.parametrize("contradictory", [False, True])
@pytest.mark.parametrize("shape", [(120, 10), (40, 90)])
def test_path_equals_separate_fits(shape: tuple[int, int], contradictory: bool) -> None:
    rows, labels = _problem(*shape)
    held, held_labels = _problem(200, shape[1])
    if contradictory:
        # Each row again with another label, as a policy that flips arrows does. The loss is flat,
        # and a fit must not take a small step from the one before for convergence.
        rows = np.concatenate([rows, rows + np.float32(0.05)])
        labels = np.concatenate([labels, np.roll(labels, 1)])
    targets, strengths = one_hot(labels, 3), [10.0**-exponent for exponent in range(4)]
    weights = np.random.default_rng(3).uniform(0.5, 2, len(rows)).astype(np.float32)
    path = fit_path(rows, targets, strengths, sample_weights=weights)
    for strength, head in zip(strengths, path, strict=True):
        exact = fit_logistic_regression(rows, targets, strength, sample_weights=weights)
        least = _objective(exact, rows, targets, strength, weights)
        assert _objective(head, rows, targets, strength, weights) == pytest.approx(
            least, rel=1e-3, abs=1e-6
        )
        found, expected = (
            compute_log_losses(one.log_probabilities(held), held_labels).mean()
            for one in (head, exact)
        )
        assert found == pytest.approx(expected, rel=0.03)


def test_path_fits_only_what_is_asked_for() -> None:
    rows, labels = _problem(30, 5)
    path = fit_path(rows, one_hot(labels, 3), [1.0, float("nan")])
    assert np.isfinite(next(path).kernel).all()


@given(
    num_rows=st.integers(2, 40),
    num_features=st.integers(1, 40),
    num_classes=st.integers(2, 5),
    exponent=st.floats(-4, 1),
    seed=st.integers(0, 2**16),
)
def test_gradient_of_the_objective_is_zero_at_the_head(
    num_rows: int, num_features: int, num_classes: int, exponent: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(num_rows, num_features)).astype(np.float32)
    labels, l2 = rng.integers(0, num_classes, num_rows), 10**exponent
    weights = rng.uniform(0.1, 2, num_rows).astype(np.float32)
    targets = one_hot(labels, num_classes, 0.1)
    head = fit_logistic_regression(rows, targets, l2, sample_weights=weights)
    errors = np.exp(head.log_probabilities(rows)) - targets
    errors *= weights[:, None] / num_rows
    gradient = rows.T @ errors + 2 * l2 * head.kernel
    # Of a loss that float32 resolves to 1e-7.
    np.testing.assert_allclose(gradient, 0, atol=3e-3)
    np.testing.assert_allclose(errors.sum(axis=0), 0, atol=3e-3)
    assert _objective(head, rows, targets, l2, weights) <= _objective(
        LinearHead.zeros(num_features, num_classes), rows, targets, l2, weights
    )


def _score(rows: Floats, labels: Labels) -> list[np.ndarray]:
    half = len(rows) // 2
    division = Division(rows[None, :half], labels[:half], rows[half:], labels[half:])
    found = choose_strength([lambda: division], 3, strengths=STRENGTHS[2:6])
    return [found.log_probabilities]


@pytest.mark.parametrize(
    "compute",
    [
        lambda rows, labels: vars(fit_logistic_regression(rows, one_hot(labels, 3), 0.01)).values(),
        lambda rows, labels: [
            part
            for head in fit_path(rows, one_hot(labels, 3), (1.0, 0.1))
            for part in vars(head).values()
        ],
        lambda rows, labels: [LinearHead(rows[:3].T, rows[0, :3]).log_probabilities(rows)],
        _score,
        lambda rows, labels: fit_mahalanobis(rows[:, :200], labels).arrays.values(),
        lambda rows, labels: [
            fit_mahalanobis(rows[:, :200], labels).distances(rows[::-1, :200].copy())
        ],
        lambda rows, labels: [fit_neighbors(rows, labels).distances(rows[::-1] + rows[0])],
        lambda rows, labels: [score_neighbors_of_others(rows, labels, 0)],
    ],
    ids=[
        *("fit", "path", "log_probabilities", "strengths", "mahalanobis", "distances"),
        *("neighbors", "others"),
    ],
)
def test_bits_do_not_depend_on_the_threads_of_blas(
    compute: Callable[[Floats, Labels], Iterable[np.ndarray]],
) -> None:
    rows, labels = _problem(240, 1280)
    found = []
    for threads in (1, 2, 5):
        with threadpool_limits(threads):
            found.append([*compute(rows, labels)])
    for other in found[1:]:
        for ours, theirs in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(ours, theirs)
