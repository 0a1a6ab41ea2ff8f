"""The probe, against scikit-learn's logistic regression on the same folds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.inspection.probe import probe_features
from tuning.folds import stratified_folds

NUM_CLASSES = 3


def _features(num_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows float32 [150, F] of overlapping classes in a mixed order, and their labels."""
    rng = np.random.default_rng(4)
    labels = rng.permutation(np.repeat(np.arange(NUM_CLASSES), 50))
    # As far from each other with many features as with few.
    centers = rng.normal(0, 1 / np.sqrt(num_features), (NUM_CLASSES, num_features))
    # None is so small beside the others that it is scaled by less than its deviation.
    scales = rng.uniform(14, 20, num_features)
    rows = (2 * centers[labels] + rng.normal(0, 1, (150, num_features))) * scales
    return rows.astype(np.float32), labels


@pytest.mark.parametrize("num_features", [8, 200])
@pytest.mark.parametrize("l2", [1.0, 0.01])
def test_probe_has_the_predictions_of_scikit_learn(num_features: int, l2: float) -> None:
    rows, labels = _features(num_features)
    folds = stratified_folds(labels, 5, seed=0)
    score = probe_features(rows, labels, folds, NUM_CLASSES, strengths=[l2])
    # C weighs the sum of the losses of 120 images against half of ΣW².
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=1 / (2 * l2 * 120), tol=1e-8, max_iter=5000)
    )
    expected = cross_val_predict(model, rows, labels, cv=folds, method="predict_proba")
    losses = -np.log(expected[np.arange(len(labels)), labels])
    np.testing.assert_allclose(score.log_losses, losses, rtol=0.02, atol=0.005)
    assert score.log_loss == pytest.approx(log_loss(labels, expected), rel=1e-3)
    second, first = np.sort(expected, axis=1).T[-2:]
    clear = first - second > 0.02
    assert clear.mean() > 0.8
    hits = expected.argmax(axis=1) == labels
    np.testing.assert_array_equal(score.hits[clear], hits[clear])
    assert score.accuracy == score.num_hits / len(labels) == score.hits.mean()


def test_strength_is_the_best_of_all_tried() -> None:
    rows, labels = _features(200)
    folds = stratified_folds(labels, 5, seed=0)
    alone = {
        l2: probe_features(rows, labels, folds, NUM_CLASSES, strengths=[l2]).log_loss
        for l2 in (10.0, 0.1, 0.001)
    }
    score = probe_features(rows, labels, folds, NUM_CLASSES, strengths=list(alone))
    assert score.l2 == min(alone, key=lambda l2: alone[l2])
    assert score.log_loss == pytest.approx(min(alone.values()), rel=0.01)


def test_constant_features_give_the_shares_of_the_classes() -> None:
    labels = np.repeat([0, 1], [30, 10])
    folds = stratified_folds(labels, 5, seed=0)
    score = probe_features(np.ones((40, 4), np.float32), labels, folds, 2)
    assert score.accuracy == 0.75
    assert score.log_loss == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25), rel=1e-3)
