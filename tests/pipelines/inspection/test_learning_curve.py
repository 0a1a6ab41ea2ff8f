"""The learning curve of a probe beside scikit-learn's, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.inspection.learning_curve import FRACTIONS, compute_learning_curve


def _clouds(per_class: int, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(1).normal(0, 0.55, (classes, 20))
    labels = np.repeat(np.arange(classes), per_class)
    return rng.normal(centers[labels], 1).astype(np.float32), labels


def test_curve_is_about_that_of_scikit_learn_and_foretells_what_comes() -> None:
    rows, labels = _clouds(100)
    curve = compute_learning_curve(rows, labels, np.arange(400), 4, seed=0)
    assert curve is not None
    assert curve.labels == tuple(round(320 * fraction) for fraction in FRACTIONS)
    assert curve.accuracy[0] < curve.accuracy[-1]
    folds = StratifiedKFold(5, shuffle=True, random_state=3)
    for count, accuracy in zip(curve.labels, curve.accuracy, strict=True):
        hits = []
        for fit, held in folds.split(rows, labels):
            some = np.random.default_rng(0).permutation(fit)[:count]
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
            hits.append(model.fit(rows[some], labels[some]).score(rows[held], labels[held]))
        assert accuracy == pytest.approx(np.mean(hits), abs=0.05)
    more_rows, more_labels = _clouds(160, seed=5)
    new_rows, new_labels = _clouds(1000, seed=6)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    comes = model.fit(more_rows, more_labels).score(new_rows, new_labels)
    low, high = curve.next_interval
    assert curve.next_labels == 640
    assert low - 0.01 <= comes <= high + 0.01
    assert f"with {curve.next_labels} it would be for about {curve.next_accuracy:.3f}" in (
        curve.describe()
    )


@pytest.mark.parametrize(
    ("per_class", "groups"),
    [(4, None), (7, None), (40, "few")],
    ids=["fewer images than folds", "too few for three points", "a class of few groups"],
)
def test_too_few_images_have_no_curve(per_class: int, groups: str | None) -> None:
    rows, labels = _clouds(per_class)
    numbers = np.arange(len(labels))
    if groups:
        numbers = np.where(labels == 0, numbers % 3, numbers)
    assert compute_learning_curve(rows, labels, numbers, 4, seed=0) is None
