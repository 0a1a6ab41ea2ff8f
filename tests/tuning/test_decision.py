"""Fits of decision rules, against MAPIE, against brute force, and by what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tuning.decision import fit_label_thresholds, fit_prediction_sets
from zoo.models.decision import SET_METHODS, LabelRule


def draw(count: int, seed: int, num_classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Draws probabilities float32 [N, C] that are calibrated, and classes by them."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(num_classes, 0.4), count).astype(np.float32)
    labels = (rows.cumsum(axis=1) < rng.random(count)[:, None] * rows.sum(axis=1)[:, None]).sum(1)
    return rows, labels.clip(max=num_classes - 1)


class Half:
    """Stands for a random generator in MAPIE's adaptive sets: every draw is a half."""

    def uniform(self, size: Any) -> np.ndarray:
        return np.full(size, 0.5)


class Fitted:
    """A classifier of scikit-learn whose inputs are its probabilities."""

    def __init__(self, num_classes: int) -> None:
        self.classes_ = np.arange(num_classes)
        self.n_features_in_ = num_classes

    def fit(self, *_: Any) -> None:
        raise AssertionError("it is fitted")

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return rows.astype(np.float64) / rows.sum(axis=1, keepdims=True, dtype=np.float64)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return rows.argmax(axis=1)


@pytest.mark.parametrize("error_rate", [0.01, 0.05, 0.1, 0.3])
@pytest.mark.parametrize(("method", "score"), [("least_ambiguous", "lac"), ("adaptive", "aps")])
def test_sets_are_those_of_mapie(
    method: str, score: str, error_rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mapie.classification import SplitConformalClassifier
    from mapie.conformity_scores.sets import aps

    monkeypatch.setattr(aps, "check_random_state", lambda _: Half())
    rows, labels = draw(400, seed=1)
    new, _ = draw(1000, seed=2)
    oracle = SplitConformalClassifier(
        Fitted(6), confidence_level=1 - error_rate, conformity_score=score, prefit=True
    )
    oracle.conformalize(rows, labels)
    arguments = {"include_last_label": "randomized"} if score == "aps" else {}
    _, expected = oracle.predict_set(new, conformity_score_params=arguments)
    rule = fit_prediction_sets(rows, labels, method, error_rate)
    found = rule.members(new)
    # A class on the threshold but for rounding may be on either side.
    far = np.abs(SET_METHODS[method].scores(new) - rule.threshold) > 1e-5
    assert far.mean() > 0.999
    np.testing.assert_array_equal(found[far], expected[..., 0][far])


@pytest.mark.parametrize("method", SET_METHODS)
@pytest.mark.parametrize(("count", "error_rate"), [(50, 0.1), (99, 0.01), (200, 0.05), (49, 0.3)])
def test_new_images_are_in_their_sets_as_often_as_was_asked(
    method: str, count: int, error_rate: float
) -> None:
    rates = []
    for seed in range(200):
        rows, labels = draw(count, seed)
        new, truths = draw(200, 1000 + seed)
        members = fit_prediction_sets(rows, labels, method, error_rate).members(new)
        rates.append(1 - members[np.arange(200), truths].mean())
    # The rate of one fit has the distribution of the k-th smallest of n uniform numbers.
    expected = 1 - np.ceil((count + 1) * (1 - error_rate) - 1e-9) / (count + 1)
    deviation = np.std(rates) / np.sqrt(len(rates))
    assert abs(np.mean(rates) - expected) < 4 * deviation


def test_too_few_images_leave_out_no_class() -> None:
    rows, labels = draw(18, seed=3)
    for method in SET_METHODS:
        rule = fit_prediction_sets(rows, labels, method, 0.05)
        assert rule.threshold == 1
        assert rule.members(draw(100, seed=4)[0]).all()


def test_least_ambiguous_sets_are_smaller_and_adaptive_ones_even() -> None:
    rows, labels = draw(4000, seed=5)
    new, truths = draw(4000, seed=6)
    sizes, spreads = {}, {}
    for method in SET_METHODS:
        members = fit_prediction_sets(rows, labels, method, 0.1).members(new)
        hits = members[np.arange(4000), truths]
        hard = new.max(axis=1) < 0.5
        sizes[method] = members.sum(axis=1).mean()
        spreads[method] = abs(hits[hard].mean() - hits[~hard].mean())
    assert sizes["least_ambiguous"] < sizes["adaptive"]
    assert spreads["adaptive"] < spreads["least_ambiguous"]


def test_label_thresholds_have_the_highest_f1_of_all() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((120, 5)) < [0.5, 0.2, 0.1, 0.03, 1.0]).astype(np.float32)
    shifted = targets * 1.2 - [0.5, 1.5, 2.5, 1.0, 0.0] + rng.normal(0, 0.8, targets.shape)
    probabilities = (1 / (1 + np.exp(-shifted))).astype(np.float32)
    thresholds = fit_label_thresholds(probabilities, targets, least_images=10)
    assert thresholds[3:] == (0.5, 0.5), "too few images have the label, or lack it"
    members = LabelRule(thresholds).members(probabilities)
    for label in range(3):
        column, truth = probabilities[:, label], targets[:, label]
        best = max(f1_score(truth, column >= value) for value in column)
        assert f1_score(truth, members[:, label]) == pytest.approx(best)
        assert f1_score(truth, members[:, label]) >= f1_score(truth, column >= 0.5)
    assert thresholds[2] < 0.5


def test_label_that_is_told_at_a_half_keeps_it() -> None:
    targets = np.repeat([[0.0], [1.0]], 20, axis=0).astype(np.float32)
    probabilities = np.where(targets > 0, 0.9, 0.1).astype(np.float32)
    assert fit_label_thresholds(probabilities, targets, 10) == (0.5,)
    saturated = targets.copy()
    assert fit_label_thresholds(saturated, targets, 10) == (0.5,)
