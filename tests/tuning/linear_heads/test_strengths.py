"""Choice of the L2 strength, beside a loop that tries them all."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from tuning.folds import stratified_folds
from tuning.linear_heads.strengths import STRENGTHS, Division, choose_strength
from zoo.models.standardization import Standardization

NUM_CLASSES, NUM_FEATURES = 3, 12


def _images(count: int, num_views: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns views of images, far from standardized, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % NUM_CLASSES
    scales, centers = rng.uniform(0.1, 30, NUM_FEATURES), rng.normal(size=(3, NUM_FEATURES))
    plain = 0.8 * centers[labels] + rng.normal(size=(count, NUM_FEATURES))
    views = plain + 0.3 * rng.normal(size=(num_views, count, NUM_FEATURES))
    views[0] = plain
    return ((views + 5) * scales).astype(np.float32), labels


def _divide(rows: np.ndarray, labels: np.ndarray, num_folds: int = 4) -> list[partial[Division]]:
    return [
        partial(Division, rows[:, fit], labels[fit], rows[0, held], labels[held])
        for fit, held in stratified_folds(labels, num_folds, seed=0)
    ]


def _reference_losses(divisions: list[partial[Division]], strengths: list[float]) -> list[float]:
    """Cross-validates every strength by scikit-learn."""
    losses = []
    for l2 in strengths:
        probabilities, labels = [], []
        for division in (division() for division in divisions):
            scaler = Standardization.fit(division.rows[0])
            rows = np.concatenate([scaler.apply(view) for view in division.rows])
            targets = np.tile(division.labels, len(division.rows))
            weights = division.class_weights
            model = LogisticRegression(C=1 / (2 * len(rows) * l2), tol=1e-8, max_iter=5000)
            model.fit(rows, targets, None if weights is None else weights[targets])
            probabilities.append(model.predict_proba(scaler.apply(division.held_rows)))
            labels.append(division.held_labels)
        losses.append(log_loss(np.concatenate(labels), np.concatenate(probabilities)))
    return losses


@pytest.mark.train
@pytest.mark.parametrize("num_views", [1, 3])
def test_choice_is_that_of_scikit_learn_over_all_strengths(num_views: int) -> None:
    divisions = _divide(*_images(90, num_views))
    strengths = [10.0**exponent for exponent in range(1, -5, -1)]
    choice = choose_strength(divisions, NUM_CLASSES, strengths=strengths)
    expected = _reference_losses(divisions, strengths)
    assert choice.l2 == strengths[int(np.argmin(expected))]
    for strength, reference in zip(strengths, expected, strict=True):
        if strength in choice.tried:
            assert choice.tried[strength] == pytest.approx(reference, rel=0.01)
    assert choice.log_loss == min(choice.tried.values()) == choice.tried[choice.l2]


def test_class_weights_reach_the_fits() -> None:
    rows, labels = _images(60)
    weights = np.array([0.2, 1.0, 4.0], np.float32)
    divisions = [
        partial(division.func, *division.args, class_weights=weights)
        for division in _divide(rows, labels)
    ]
    choice = choose_strength(divisions, NUM_CLASSES, strengths=[0.1])
    assert choice.log_loss == pytest.approx(_reference_losses(divisions, [0.1])[0], rel=0.01)


def test_scores_are_of_each_held_out_image_once() -> None:
    rows, labels = _images(90)
    divisions = _divide(rows, labels)
    choice = choose_strength(divisions, NUM_CLASSES)
    held = np.concatenate([division().held_labels for division in divisions])
    assert choice.log_probabilities.shape == (90, NUM_CLASSES)
    probabilities = np.exp(choice.log_probabilities)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert choice.log_loss == pytest.approx(log_loss(held, probabilities), rel=1e-5)
    assert choice.accuracy == np.mean(probabilities.argmax(axis=1) == held)


def test_weaker_strengths_are_not_tried_once_the_loss_has_risen_twice() -> None:
    # Labels at random: nothing beats the strongest penalty.
    rows, labels = _images(60)
    shuffled = np.random.default_rng(5).permutation(labels)
    choice = choose_strength(_divide(rows, shuffled), NUM_CLASSES)
    tried = list(choice.tried)
    assert tried == list(STRENGTHS[: len(tried)])
    best = tried.index(choice.l2)
    assert len(tried) == best + 3 < len(STRENGTHS)


def test_separable_classes_take_a_weaker_penalty() -> None:
    rows, labels = _images(60)
    apart = rows.copy()
    apart[0, np.arange(60), labels] += 500
    weak = choose_strength(_divide(apart, labels), NUM_CLASSES)
    assert weak.l2 < choose_strength(_divide(rows, labels), NUM_CLASSES).l2
    assert weak.accuracy == 1


def test_equal_losses_take_the_stronger_penalty() -> None:
    rows, labels = np.zeros((1, 12, 4), np.float32), np.arange(12) % 3
    choice = choose_strength(_divide(rows, labels, 2), NUM_CLASSES)
    assert choice.l2 == STRENGTHS[0]
    assert choice.log_loss == pytest.approx(np.log(3), rel=1e-4)


def test_strengths_fall_from_strong_to_weak() -> None:
    assert list(STRENGTHS) == sorted(STRENGTHS, reverse=True)
    np.testing.assert_allclose([STRENGTHS[0], STRENGTHS[-1]], [31.6, 1e-5], rtol=1e-6)


def test_no_strength_raises() -> None:
    with pytest.raises(ValueError, match="at least one strength"):
        choose_strength(_divide(*_images(30)), NUM_CLASSES, strengths=[])
