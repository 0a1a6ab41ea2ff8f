"""Vector scaling, beside scikit-learn's Platt scaling, SciPy's minimum and what was undone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from tuning.temperature import LabeledLogits
from tuning.vector_scaling import VectorScaling, fit_vector_scaling, scale_on_folds

SCALE, SHIFT = np.array([0.5, 1.0, 2.0]), np.array([0.8, 0.0, -0.8])


def draw(count: int, seed: int = 0) -> LabeledLogits:
    """Returns logits whose classes were drawn by those that `SCALE` and `SHIFT` make of them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 3)) * 2
    chances = softmax(logits * SCALE + SHIFT, axis=1).cumsum(axis=1)
    labels = (rng.random((count, 1)) > chances).sum(axis=1)
    return LabeledLogits.of_classes(logits.astype(np.float32), labels)


def test_what_was_done_to_logits_is_undone() -> None:
    found = fit_vector_scaling(draw(40_000))
    np.testing.assert_allclose(found.scale, SCALE, rtol=0.06)
    # A number added to all classes changes nothing.
    np.testing.assert_allclose(found.shift - found.shift[1], SHIFT - SHIFT[1], atol=0.06)


def test_minimum_is_that_of_another_method() -> None:
    answers = draw(200).smoothed()

    def loss(flat: np.ndarray) -> float:
        rows = log_softmax(answers.logits * flat[:3] + flat[3:], axis=1)
        return float(-(answers.targets * rows).sum(axis=1).mean())

    found = fit_vector_scaling(answers)
    expected = minimize(loss, np.r_[np.ones(3), np.zeros(3)], method="Nelder-Mead",
                        options={"maxiter": 20_000, "fatol": 1e-12, "xatol": 1e-8})  # fmt: skip
    assert found.apply(answers).losses().mean() == pytest.approx(expected.fun, abs=1e-6)
    assert answers.losses().mean() > expected.fun


def test_labels_are_scaled_as_by_platt() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(500, 2)).astype(np.float32) * 2
    targets = (rng.random((500, 2)) < expit(logits * [0.4, 1.5] + [1.0, -0.5])).astype(np.float32)
    found = fit_vector_scaling(LabeledLogits.of_labels(logits, targets))
    for label in range(2):
        platt = LogisticRegression(C=1e8, tol=1e-9).fit(logits[:, [label]], targets[:, label])
        assert found.scale[label] == pytest.approx(platt.coef_[0, 0], rel=1e-3)
        assert found.shift[label] == pytest.approx(platt.intercept_[0], rel=1e-3)


def test_class_that_no_image_has_keeps_a_finite_shift() -> None:
    logits = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    answers = LabeledLogits.of_classes(logits, np.arange(30) % 2)
    found = fit_vector_scaling(answers.smoothed())
    assert np.isfinite(found.shift).all()
    assert 0 < found.apply(answers).probabilities()[:, 2].mean() < 0.05


def test_each_image_is_scaled_by_the_other_folds() -> None:
    answers = draw(53)
    groups = np.arange(53) // 2
    held_out = scale_on_folds(answers, 3, groups)
    np.testing.assert_array_equal(held_out.targets, answers.targets)
    fitted = fit_vector_scaling(answers.smoothed()).apply(answers)
    assert held_out.losses().mean() > fitted.losses().mean()
    # Both images of a group have the same numbers, and these come from other groups alone.
    factors = (held_out.logits - held_out.logits[[1, 0, *range(2, 53)]])[:2]
    first = (answers.logits - answers.logits[[1, 0, *range(2, 53)]])[:2]
    np.testing.assert_allclose(factors[0] / first[0], factors[1] / first[1])
    other = LabeledLogits(answers.logits, answers.targets.copy())
    other.targets[:2] = [1.0, 0.0, 0.0]
    changed = scale_on_folds(other, 3, groups)
    np.testing.assert_array_equal(changed.logits[:2], held_out.logits[:2])


def test_scaling_by_one_and_zero_changes_nothing() -> None:
    answers = draw(5)
    same = VectorScaling(np.ones(3), np.zeros(3)).apply(answers)
    np.testing.assert_array_equal(same.logits, answers.logits)
