"""Distillation: the loss beside Keras' own, soft targets beside SciPy and scikit-learn."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from tuning.linear_heads.logistic_regression import fit_logistic_regression, one_hot
from tuning.linear_heads.strengths import Division
from tuning.optimization.distillation import (
    SoftTargets,
    build_distillation_loss,
    distillation_accuracy,
    soften,
)

RNG = np.random.default_rng(0)
COUNT, CLASSES = 40, 5
TEACHER = RNG.normal(0, 3, (COUNT, CLASSES)).astype(np.float32)
STUDENT = RNG.normal(0, 2, (COUNT, CLASSES)).astype(np.float32)
LABELS = RNG.integers(0, CLASSES, COUNT)


def _soft(temperature: float, weight: float, labeled: np.ndarray | None = None) -> SoftTargets:
    probabilities = soften(scipy.special.softmax(TEACHER, axis=1), temperature)
    return SoftTargets(probabilities, np.ones(COUNT, bool) if labeled is None else labeled, weight)


def _labels(soft: SoftTargets) -> np.ndarray:
    """Labels as the loss takes them, [N, 2C]."""
    shares = soft.shares[:, np.newaxis]
    hard = np.eye(CLASSES, dtype=np.float32)[LABELS]
    return np.concatenate([hard * (1 - shares), soft.probabilities * shares], axis=1)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.5])
def test_soft_targets_are_the_softmax_of_divided_logits(temperature: float) -> None:
    probabilities = scipy.special.softmax(TEACHER.astype(np.float64), axis=1)
    expected = scipy.special.softmax(TEACHER.astype(np.float64) / temperature, axis=1)
    received = soften(probabilities.astype(np.float32), temperature)
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-7)


def test_a_class_that_the_teacher_excludes_has_no_infinite_loss() -> None:
    soft = SoftTargets(soften(np.float32([[1, 0, 0, 0, 0]]), 3), np.array([True]), 1.0)
    labels = np.concatenate([np.zeros((1, CLASSES)), soft.probabilities], axis=1)
    with tf.GradientTape() as tape:
        logits = tf.Variable(STUDENT[:1])
        loss = build_distillation_loss(3)(tf.constant(labels, tf.float32), logits)
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, logits)).all()


@pytest.mark.parametrize("weight", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_loss_and_gradient_are_those_of_keras_distiller(temperature: float, weight: float) -> None:
    """Keras' `Distiller` adds (1 - w) times the student's loss and w times this one."""
    # Its default, "kl_divergence" by name, compares logits as if they were probabilities.
    distillation = keras.distillation.LogitsDistillation(
        temperature=temperature, loss=keras.losses.KLDivergence()
    )
    labels = tf.constant(_labels(_soft(temperature, weight)))
    loss = build_distillation_loss(temperature)
    logits = tf.Variable(STUDENT)
    with tf.GradientTape(persistent=True) as tape:
        received = tf.reduce_mean(loss(labels, logits))
        own = keras.losses.CategoricalCrossentropy(from_logits=True)(
            np.eye(CLASSES)[LABELS], logits
        )
        taught = distillation.compute_loss(tf.constant(TEACHER), logits)
        expected = (1 - weight) * own + weight * taught
    assert float(received) == pytest.approx(float(expected), rel=1e-4)
    np.testing.assert_allclose(
        tape.gradient(received, logits), tape.gradient(expected, logits), rtol=2e-3, atol=1e-6
    )


def test_images_without_labels_have_the_teachers_loss_alone() -> None:
    labeled = np.arange(COUNT) % 2 == 0
    soft = _soft(2, 0.4, labeled)
    assert soft.shares.tolist() == pytest.approx(np.where(labeled, 0.4, 1).tolist())
    received = build_distillation_loss(2)(tf.constant(_labels(soft)), tf.constant(STUDENT))
    log_student = scipy.special.log_softmax(STUDENT.astype(np.float64) / 2, axis=1)
    teacher = scipy.special.softmax(TEACHER.astype(np.float64) / 2, axis=1)
    divergence = scipy.special.rel_entr(teacher, np.exp(log_student)).sum(axis=1)
    np.testing.assert_allclose(
        received[~labeled], 4 * divergence[~labeled], rtol=1e-4, err_msg="T² KL(teacher ‖ student)"
    )
    own = -scipy.special.log_softmax(STUDENT.astype(np.float64), axis=1)[np.arange(COUNT), LABELS]
    expected = 0.6 * own + 0.4 * 4 * divergence
    np.testing.assert_allclose(np.asarray(received)[labeled], expected[labeled], rtol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_plain_labels_have_plain_cross_entropy(smoothing: float) -> None:
    labels = tf.constant(np.eye(CLASSES, dtype=np.float32)[LABELS])
    received = build_distillation_loss(3, smoothing)(labels, tf.constant(STUDENT))
    expected = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction="none"
    )(labels, STUDENT)
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_smoothing_spreads_the_labels_part_alone() -> None:
    soft = _soft(1, 0.5)
    received = build_distillation_loss(1, 0.2)(tf.constant(_labels(soft)), tf.constant(STUDENT))
    smooth = np.eye(CLASSES)[LABELS] * 0.8 + 0.2 / CLASSES
    log_student = scipy.special.log_softmax(STUDENT.astype(np.float64), axis=1)
    divergence = scipy.special.rel_entr(soft.probabilities, np.exp(log_student)).sum(axis=1)
    expected = -0.5 * (smooth * log_student).sum(axis=1) + 0.5 * divergence
    np.testing.assert_allclose(received, expected, rtol=1e-4)


def test_accuracy_is_by_labels_and_without_them_by_the_teacher() -> None:
    labeled = np.arange(COUNT) < 20
    received = distillation_accuracy(tf.constant(_labels(_soft(2, 0.4, labeled))), STUDENT)
    expected = np.where(labeled, LABELS, TEACHER.argmax(axis=1)) == STUDENT.argmax(axis=1)
    np.testing.assert_array_equal(received, expected.astype(np.float32))
    plain = distillation_accuracy(tf.constant(np.eye(CLASSES)[LABELS]), STUDENT)
    np.testing.assert_array_equal(plain, (STUDENT.argmax(axis=1) == LABELS).astype(np.float32))


def test_mixed_targets_have_the_gradient_of_the_loss_at_temperature_1() -> None:
    soft = _soft(1, 0.7)
    mixed = soft.mix(one_hot(LABELS, CLASSES))
    np.testing.assert_allclose(mixed.sum(axis=1), 1, rtol=1e-5)
    logits = tf.Variable(STUDENT)
    with tf.GradientTape(persistent=True) as tape:
        taught = build_distillation_loss(1)(tf.constant(_labels(soft)), logits)
        plain = keras.losses.CategoricalCrossentropy(from_logits=True, reduction="none")(
            mixed, logits
        )
    np.testing.assert_allclose(
        tape.gradient(taught, logits), tape.gradient(plain, logits), atol=1e-5
    )


def test_some_and_all_of_two_sets_of_soft_targets() -> None:
    soft = _soft(1, 0.7, np.arange(COUNT) < 20)
    parts = soft.take(np.arange(10)), soft.take(np.arange(10, COUNT))
    joined = SoftTargets.join(parts)
    np.testing.assert_array_equal(joined.probabilities, soft.probabilities)
    np.testing.assert_array_equal(joined.shares, soft.shares)


def test_head_fitted_to_soft_targets_is_that_of_scikit_learn_with_weighted_rows() -> None:
    """A row with target t is C rows, one of each class, with the weights t."""
    soft = _soft(1, 0.6, np.arange(COUNT) < 30)
    rows = RNG.normal(0, 1, (1, COUNT, 7)).astype(np.float32)
    division = Division(rows, LABELS, rows[0, :0], LABELS[:0], soft_targets=soft)
    targets = division.targets(CLASSES)
    head = fit_logistic_regression(rows[0], targets, 0.01)
    expected = LogisticRegression(C=1 / (2 * COUNT * 0.01), tol=1e-8, max_iter=5000).fit(
        np.repeat(rows[0], CLASSES, axis=0),
        np.tile(np.arange(CLASSES), COUNT),
        sample_weight=targets.ravel(),
    )
    np.testing.assert_allclose(
        np.exp(head.log_probabilities(rows[0])), expected.predict_proba(rows[0]), atol=2e-3
    )
    assert [rows.shape for rows in division.fit([0.1, 0.01], CLASSES)] == [(0, CLASSES)] * 2
    two_views = Division(
        np.concatenate([rows, rows]), LABELS, rows[0, :0], LABELS[:0], soft_targets=soft
    )
    np.testing.assert_array_equal(two_views.targets(CLASSES), np.concatenate([targets, targets]))
