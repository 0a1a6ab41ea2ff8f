"""Standardization: its statistics, and heads that answer the same once it is folded into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from zoo.heads.head import POOLINGS, HeadConfig
from zoo.models.classifier import build_classifier
from zoo.models.multi_task import build_multi_task
from zoo.models.standardization import (
    Standardization,
    build_standardization_layer,
    fold_standardization,
    set_statistics,
    statistics_of,
)
from zoo.models.trainable import (
    build_head_model,
    build_logits_model,
    build_pooling_model,
    build_probability_model,
)
from zoo.tasks import Task, classification

SIZE = 32
TASKS = (
    Task("kind", "single_label", class_names=("a", "b", "c")),
    Task("tags", "multi_label", class_names=("x", "y")),
    Task("age", "regression", mean=40.0, std=12.0),
)


def _rows(num_features: int, count: int = 60, seed: int = 0) -> np.ndarray:
    """Returns features of very different scales; the first two are constant."""
    rng = np.random.default_rng(0)
    scales, centers = 10 ** rng.uniform(-2, 2, num_features), rng.normal(size=num_features)
    noise = np.random.default_rng(seed).normal(size=(count, num_features))
    rows = (noise + centers) * scales
    rows[:, 0], rows[:, 1] = 0, 0.7
    return rows.astype(np.float32)


def test_statistics_are_those_of_scikit_learn_where_features_vary_more_than_usual() -> None:
    rows = _rows(50)
    scaler = StandardScaler().fit(rows)
    found = Standardization.fit(rows)
    np.testing.assert_allclose(found.mean, scaler.mean_, rtol=1e-4, atol=1e-4)
    usual = 0.6 * np.sqrt(scaler.var_.mean())
    large = np.sqrt(scaler.var_) > usual
    assert 0 < large.sum() < len(large) / 2
    np.testing.assert_allclose(found.std[large], scaler.scale_[large], rtol=1e-4)
    np.testing.assert_allclose(found.std[~large], usual, rtol=1e-4)
    np.testing.assert_allclose(
        found.apply(rows)[:, large], scaler.transform(rows)[:, large], atol=1e-3
    )
    assert found.mean.dtype == found.std.dtype == found.apply(rows).dtype == np.float32


def test_statistics_of_blocks_are_those_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(3, [1, 2, 5], (100, 3)).astype(np.float32)
    whole = Standardization.fit(rows)
    monkeypatch.setattr("zoo.large_arrays.BLOCK_ROWS", 7)
    parts = Standardization.fit(rows)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(parts.std, whole.std, rtol=1e-6)
    again = Standardization.fit_blocks(lambda: np.split(rows, range(7, 100, 7)))
    np.testing.assert_array_equal(again.std, parts.std)


def test_features_of_one_variance_are_those_of_scikit_learn() -> None:
    rows = np.random.default_rng(0).normal(3, 0.2, (40, 6)).astype(np.float32)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0) * np.float32(0.2) + 3
    np.testing.assert_allclose(
        Standardization.fit(rows).apply(rows), StandardScaler().fit_transform(rows), atol=1e-3
    )


def test_features_that_training_images_lack_stay_small_in_others() -> None:
    rows = _rows(50)
    found = Standardization.fit(rows)
    np.testing.assert_allclose(found.apply(rows)[:, :2], 0, atol=1e-6)
    rows[0, 0] = np.sqrt(np.square(rows - rows.mean(axis=0)).mean())
    assert found.apply(rows)[0, 0] == pytest.approx(1 / 0.6, rel=0.01)


def test_features_that_are_all_constant_are_only_centered() -> None:
    found = Standardization.fit(np.full((5, 3), 2.5, np.float32))
    np.testing.assert_array_equal(found.mean, [2.5] * 3)
    np.testing.assert_array_equal(found.std, [1] * 3)


def test_one_image_is_enough_for_statistics() -> None:
    found = Standardization.fit(np.array([[1.0, -2.0]], np.float32))
    np.testing.assert_array_equal(found.apply(np.array([[2.0, -2.0]], np.float32)), [[1, 0]])


def test_layer_standardizes_alike_in_training_and_keeps_its_statistics() -> None:
    rows = _rows(8)
    statistics = Standardization.fit(rows)
    layer = build_standardization_layer()
    layer.build(rows.shape)
    set_statistics(layer, statistics)
    for training in (True, False):
        found = np.asarray(layer(rows, training=training))
        np.testing.assert_allclose(found, statistics.apply(rows), atol=1e-3)
    assert not layer.trainable_variables
    kept = statistics_of(layer)
    np.testing.assert_array_equal(kept.mean, statistics.mean)
    np.testing.assert_allclose(kept.std, statistics.std, rtol=1e-6)


HEADS = {
    "linear": HeadConfig(),
    "input dropout": HeadConfig(input_dropout=0.3),
    "norm before": HeadConfig(hidden=(6, 5)),
    "norm after": HeadConfig(hidden=(6,), batch_norm_position="after"),
    "no norm": HeadConfig(hidden=(6,), batch_norm=False, activation="relu"),
    "dropout and hidden": HeadConfig(hidden=(6,), input_dropout=0.2),
}
WHOLE = {
    **{name: (head, {}) for name, head in HEADS.items()},
    **{f"{name} pooling": (HeadConfig(pooling=name), {}) for name in POOLINGS},
    "hidden on both poolings": (HeadConfig(pooling="concatenated", hidden=(6,)), {}),
}
SEVERAL = {
    **{f"tasks, {name}": (head, {}) for name, head in HEADS.items()},
    "tasks, own hidden layers": (HeadConfig(), {"kind": (6,), "age": (5, 4)}),
    "tasks, some hidden layers": (HeadConfig(input_dropout=0.1), {"tags": (6,)}),
    "tasks, both poolings": (HeadConfig(pooling="concatenated"), {"kind": (6,)}),
}


def _build(head: HeadConfig, hidden: dict[str, Any], several: bool) -> tuple[Any, tuple[Any, ...]]:
    name = "micro_resnet_s"
    if several:
        options = {"frozen": True, "hidden": hidden}
        return build_multi_task(name, SIZE, head, TASKS, **options), TASKS
    tasks = classification(("a", "b", "c"))
    return build_classifier(name, 3, size=SIZE, head=head, frozen=True), tasks


def _randomize(classifier: Any, seed: int = 1) -> None:
    """Gives a head weights, biases and moving statistics as training might."""
    rng = np.random.default_rng(seed)
    for layer in classifier.layers:
        for variable in () if isinstance(layer, keras.Model) else layer.weights:
            value = rng.normal(size=variable.shape) * 0.5
            if "variance" in variable.path:
                value = np.exp(value)
            if variable.dtype == "float32":
                variable.assign(value)


@pytest.mark.parametrize(
    ("head", "hidden", "several"),
    [
        *((*case, False) for case in WHOLE.values()),
        *((*case, True) for case in SEVERAL.values()),
    ],
    ids=[*WHOLE, *SEVERAL],
)
def test_folded_head_answers_plain_features_as_it_answered_standardized_ones(
    head: HeadConfig, hidden: dict[str, Any], several: bool
) -> None:
    classifier, tasks = _build(head, hidden, several)
    _randomize(classifier)
    probabilities = build_probability_model(classifier)
    rows = _rows(probabilities.input_shape[-1])
    statistics = Standardization.fit(rows)
    held = _rows(rows.shape[1], 20, seed=2)
    held[::2, 1] = 0.8  # constant in training only
    standardize = build_standardization_layer()
    trained = build_head_model(classifier, tasks=tasks, standardize=standardize)
    set_statistics(standardize, statistics)
    for some in (rows, held):
        before = probabilities(statistics.apply(some))
        logits = trained(some)
        _check_equal(logits, build_head_model(classifier, tasks=tasks)(statistics.apply(some)))
        weights = classifier.get_weights()
        fold_standardization(classifier, statistics)
        _check_equal(probabilities(some), before)
        _check_equal(build_head_model(classifier, tasks=tasks)(some), logits)
        classifier.set_weights(weights)


def _check_equal(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    if not isinstance(found, dict):
        found, expected = {"": found}, {"": expected}
    for name, value in found.items():
        reference = np.asarray(expected[name])
        assert np.isfinite(value).all(), name
        # Relative to the largest answer: sums of large terms cancel.
        scale = max(1.0, float(np.abs(reference).max()))
        np.testing.assert_allclose(np.asarray(value) / scale, reference / scale, atol=tolerance)


@pytest.mark.parametrize("variance", [1.0, 1e-4, 0.0], ids=["usual", "small", "none"])
@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
def test_normalized_regression_survives_small_and_constant_features(
    scale: float, variance: float
) -> None:
    tasks = (TASKS[2],)
    classifier = build_multi_task("micro_resnet_s", SIZE, HeadConfig(), tasks, frozen=True)
    probabilities = build_probability_model(classifier)
    rows = np.abs(_rows(probabilities.input_shape[-1])) * np.float32(scale)
    rows[:, 0] = 0  # a feature that no training image has
    statistics = Standardization.fit(rows)
    norm = classifier.get_layer("age_norm")
    norm.moving_mean.assign(np.zeros(norm.moving_mean.shape))
    norm.moving_variance.assign(np.full(norm.moving_variance.shape, variance))
    before = probabilities(statistics.apply(rows))
    fold_standardization(classifier, statistics)
    _check_equal(probabilities(rows), before)


def test_frozen_model_with_standardization_equals_head_of_standardized_features() -> None:
    tasks = classification(("a", "b", "c"))
    classifier, _ = _build(HeadConfig(hidden=(6,), pooling="concatenated"), {}, False)
    _randomize(classifier)
    images = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3)).astype(np.float32)
    pooled = np.asarray(build_pooling_model(classifier)(images))
    standardize = build_standardization_layer()
    logits = build_logits_model(classifier, frozen=True, tasks=tasks, standardize=standardize)
    statistics = Standardization.fit(pooled)
    set_statistics(standardize, statistics)
    expected = build_head_model(classifier)(statistics.apply(pooled))
    # Of random weights, features vary little from image to image.
    _check_equal(logits(images), expected, 1e-4)
    fold_standardization(classifier, statistics)
    softmax = keras.ops.softmax(expected)
    _check_equal(classifier(images), softmax, 1e-4)


def test_saved_classifier_has_no_trace_of_standardization(tmp_path: Path) -> None:
    plain, _ = _build(HeadConfig(hidden=(6,)), {}, False)
    classifier, tasks = _build(HeadConfig(hidden=(6,)), {}, False)
    standardize = build_standardization_layer()
    build_logits_model(classifier, frozen=True, tasks=tasks, standardize=standardize)
    width = standardize.moving_mean.shape[0]
    fold_standardization(classifier, Standardization.fit(_rows(width)))
    classifier.save(tmp_path / "model.keras")
    saved = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in saved.layers] == [layer.name for layer in plain.layers]
    assert [w.path for w in saved.weights] == [w.path for w in plain.weights]
