"""Confident learning against its definitions, and against what cleanlab answers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tuning.confident_learning import (
    UNSURE,
    count_confidently,
    find_doubted_labels,
    score_labels,
)


def _classify(seed: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns true labels and log-probabilities that are right more often than not."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    logits = rng.normal(0, 1, (len(labels), len(sizes)))
    logits[np.arange(len(labels)), labels] += 2
    return labels, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("seed", range(5))
def test_joint_follows_the_equations_of_the_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, log_probabilities = _classify(seed, (15, 30, 8, 20))
    labels = np.where(rng.random(len(true)) < 0.2, rng.integers(0, 4, len(true)), true)
    probabilities = np.exp(log_probabilities)
    thresholds = [probabilities[labels == j, j].mean() for j in range(4)]
    joint = np.zeros((4, 4), int)
    classes = np.full(len(labels), UNSURE)
    for image, label in enumerate(labels):
        candidates = [j for j in range(4) if probabilities[image, j] >= thresholds[j]]
        if candidates:
            classes[image] = max(candidates, key=lambda j: probabilities[image, j])
            joint[label, classes[image]] += 1
    found = count_confidently(labels, probabilities)
    np.testing.assert_allclose(found.thresholds, thresholds)
    np.testing.assert_array_equal(found.joint, joint)
    np.testing.assert_array_equal(found.classes, classes)
    # The joint, calibrated to the counts of the labels; of its sum N, what is off the diagonal.
    calibrated = joint / joint.sum(axis=1, keepdims=True) * np.bincount(labels)[:, None]
    assert found.num_errors == pytest.approx(calibrated.sum() - np.trace(calibrated))


def test_joint_is_that_of_cleanlab() -> None:
    labels, log_probabilities = _classify(7, (12, 8, 10))
    labels[[1, 5, 14, 22]] = [1, 2, 0, 1]
    # cleanlab 2.9.0, compute_confident_joint(calibrate=False) and
    # find_label_issues(filter_by="confident_learning"), of these labels and probabilities.
    joint, issues = [[6, 0, 0], [1, 7, 0], [1, 0, 7]], [1, 5]
    counted = count_confidently(labels, np.exp(log_probabilities))
    assert counted.joint.tolist() == joint
    off = (counted.classes != UNSURE) & (counted.classes != labels)
    assert np.flatnonzero(off).tolist() == issues
    found = find_doubted_labels(labels, log_probabilities)
    assert found.num_errors == round(11 / 8 + 9 / 8)
    assert sorted(found.images.tolist()) == [1, 5, 14, 23]
    np.testing.assert_array_equal(found.suggested, log_probabilities.argmax(axis=1)[found.images])


def test_class_without_images_attracts_none() -> None:
    _, log_probabilities = _classify(0, (5, 5, 1))
    found = count_confidently(np.zeros(11, int), np.exp(log_probabilities))
    assert set(found.classes.tolist()) <= {UNSURE, 0}


def test_score_falls_with_the_label_and_with_its_rival() -> None:
    labels = np.zeros(4, int)
    probabilities = np.array([[0.1, 0.9, 0], [0.1, 0.5, 0.4], [0.02, 0.5, 0.48], [1, 0, 0]])
    with np.errstate(divide="ignore"):
        scores = score_labels(labels, np.log(probabilities).astype(np.float32))
    expected = probabilities[:, 0] * np.exp(-probabilities[:, 1] / 5)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    assert np.argsort(scores).tolist() == [2, 0, 1, 3]


def test_flipped_labels_come_first() -> None:
    true, log_probabilities = _classify(1, (200, 200, 200))
    log_probabilities[:, :] *= 2
    log_probabilities -= np.log(np.exp(log_probabilities).sum(axis=1, keepdims=True))
    rng = np.random.default_rng(0)
    flipped = rng.permutation(600)[:30]
    labels = true.copy()
    labels[flipped] = (true[flipped] + rng.integers(1, 3, 30)) % 3
    wrong = np.isin(np.arange(600), flipped)
    precision = average_precision_score(wrong, -score_labels(labels, log_probabilities))
    # By chance 0.05.
    assert precision > 0.5
