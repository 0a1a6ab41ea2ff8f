"""Temperature: the minimum of SciPy, few images, folds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from tuning.temperature import LabeledLogits, fit_on_folds, fit_temperature


def _draw(
    exclusive: bool, count: int = 200, scale: float = 2.0, seed: int = 0, outputs: int = 4
) -> LabeledLogits:
    """Draws answers from logits, and multiplies the logits by `scale`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, outputs))
    chances = rng.random((count, 1 if exclusive else outputs))
    if exclusive:
        labels = (softmax(logits, axis=1).cumsum(axis=1) > chances).argmax(axis=1)
        return LabeledLogits.of_classes((scale * logits).astype(np.float32), labels)
    targets = (chances < expit(logits)).astype(np.float32)
    return LabeledLogits.of_labels((scale * logits).astype(np.float32), targets)


def _log_loss(answers: LabeledLogits, temperature: float) -> float:
    """Returns the log loss by its formula, in float64."""
    scaled = answers.logits / temperature
    t = answers.targets
    if answers.exclusive:
        shifted = scaled - scaled.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float(-(t * logs).sum(axis=1).mean())
    likely = t * np.log(expit(scaled)) + (1 - t) * np.log(expit(-scaled))
    return float(-likely.sum(axis=1).mean())


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_temperature_is_the_minimum_that_scipy_finds(exclusive: bool, scale: float) -> None:
    answers = _draw(exclusive, scale=scale)
    for part in (answers, answers.smoothed()):
        found = minimize_scalar(
            lambda t, part=part: _log_loss(part, t), bounds=(0.05, 20), method="bounded",
            options={"xatol": 1e-9},
        )  # fmt: skip
        assert fit_temperature(part) == pytest.approx(found.x, rel=1e-4)
    assert fit_temperature(answers) == pytest.approx(scale, rel=0.3)


@pytest.mark.parametrize("exclusive", [True, False])
def test_losses_and_probabilities_are_those_of_divided_logits(exclusive: bool) -> None:
    answers = _draw(exclusive, count=30)
    temperatures = np.linspace(0.5, 3, 30)
    losses, probabilities = answers.losses(temperatures), answers.probabilities(temperatures)
    for i, t in enumerate(temperatures):
        one = answers.take(np.array([i]))
        assert losses[i] == pytest.approx(_log_loss(one, t), rel=1e-9)
        np.testing.assert_allclose(one.probabilities(t)[0], probabilities[i], rtol=1e-12)
    if exclusive:
        expected = log_loss(answers.targets.argmax(axis=1), probabilities)
        assert losses.mean() == pytest.approx(expected, rel=1e-9)


def test_large_logits_have_finite_losses() -> None:
    logits = np.array([[3000.0, 0.0], [0.0, 3000.0]], np.float32)
    for answers in (
        LabeledLogits.of_classes(logits, np.array([1, 1])),
        LabeledLogits.of_labels(logits, np.array([[0, 1], [0, 1]], np.float32)),
    ):
        assert np.isfinite(answers.losses()).all()
        assert fit_temperature(answers) == 20


@pytest.mark.parametrize("exclusive", [True, False])
def test_images_that_are_all_right_do_not_make_the_next_answer_certain(exclusive: bool) -> None:
    logits = np.array([[2.0, -2.0], [-2.0, 2.0]] * 10, np.float32)
    answers = (
        LabeledLogits.of_classes(logits, np.array([0, 1] * 10))
        if exclusive
        else LabeledLogits.of_labels(logits, (logits > 0).astype(np.float32))
    )
    assert fit_temperature(answers) == 0.05, "no temperature is too low for these"
    smoothed = fit_temperature(answers.smoothed())
    wrong = 1 - answers.probabilities(smoothed).max()
    # One of 21 images is of either class: of 42 such answers one is wrong.
    assert wrong == pytest.approx(1 / 42, rel=1e-5)


def test_logits_that_say_nothing_are_left_as_they_are() -> None:
    answers = LabeledLogits.of_classes(np.zeros((3, 4), np.float32), np.array([0, 1, 1]))
    assert fit_temperature(answers) == 1


def test_each_image_has_the_temperature_of_the_other_folds() -> None:
    answers = _draw(True, count=53)
    held_out = fit_on_folds(answers, seed=3)
    assert len(np.unique(held_out)) == 5
    for temperature in np.unique(held_out):
        held = held_out == temperature
        assert 10 <= held.sum() <= 11
        assert fit_temperature(answers.take(~held).smoothed()) == temperature
    np.testing.assert_array_equal(fit_on_folds(answers, seed=3), held_out)
    assert (fit_on_folds(answers, seed=4) != held_out).any()


def test_copies_are_in_one_fold() -> None:
    answers = _draw(True, count=40)
    groups = np.arange(40) // 4
    held_out = fit_on_folds(answers, 0, groups).reshape(10, 4)
    assert (held_out == held_out[:, :1]).all()
    assert len(np.unique(held_out)) == 5
    alone = fit_on_folds(answers, 0, np.zeros(40, np.int64))
    assert (alone == fit_temperature(answers.smoothed())).all()
    two = fit_on_folds(answers, 0, np.arange(40) % 2)
    assert len(np.unique(two)) == 2
