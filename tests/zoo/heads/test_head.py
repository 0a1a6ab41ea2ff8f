"""Heads: the layers that each setting builds, and saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from zoo.errors import UnknownNameError
from zoo.heads.activations import ACTIVATIONS
from zoo.heads.head import POOLINGS, HeadConfig, build_head, build_hidden_layers
from zoo.heads.initializers import INITIALIZERS

FEATURES = np.random.default_rng(0).normal(size=(6, 4, 5, 8)).astype(np.float32)


def _build(config: HeadConfig, num_classes: int = 3) -> Any:
    features = keras.Input(FEATURES.shape[1:])
    return keras.Model(features, build_head(features, config, num_classes))


def _kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.layers[1:]]


POOLED = {
    "avg": FEATURES.mean(axis=(1, 2)),
    "max": FEATURES.max(axis=(1, 2)),
    "concatenated": np.concatenate([FEATURES.mean(axis=(1, 2)), FEATURES.max(axis=(1, 2))], -1),
}


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_equals_its_formula_and_pool_reads_the_feature_map(name: str) -> None:
    features = keras.Input(FEATURES.shape[1:])
    model = keras.Model(features, build_hidden_layers(features, HeadConfig(pooling=name)))
    np.testing.assert_allclose(model(FEATURES), POOLED[name], rtol=1e-5, atol=1e-6)
    assert model.get_layer("pool").input is features


def test_head_layers_are_in_order() -> None:
    hidden = HeadConfig(hidden=(8,), input_dropout=0.2)
    assert _kinds(_build(hidden)) == [
        *("GlobalAveragePooling2D", "Dropout"),
        *("Dense", "BatchNormalization", "Activation", "Dropout", "Dense"),
    ]
    after = hidden.model_copy(update={"batch_norm_position": "after", "input_dropout": 0.0})
    model = _build(after)
    assert _kinds(model) == [
        "GlobalAveragePooling2D",
        *("Dense", "Activation", "BatchNormalization", "Dropout", "Dense"),
    ]
    # A bias is redundant only if normalization follows the dense layer directly.
    assert model.get_layer("hidden1").use_bias
    assert not _build(hidden).get_layer("hidden1").use_bias
    bare = HeadConfig(hidden=(8, 4), batch_norm=False, dropout=0.0)
    assert _kinds(_build(bare)) == [
        "GlobalAveragePooling2D",
        *("Dense", "Activation") * 2,
        "Dense",
    ]


@pytest.mark.parametrize("position", ["before", "after"])
def test_hidden_layer_equals_its_formula_in_training_and_inference(position: Any) -> None:
    config = HeadConfig(hidden=(5,), batch_norm_position=position, dropout=0.0)
    features = keras.Input(FEATURES.shape[1:])
    model = keras.Model(features, build_hidden_layers(features, config))
    norm = model.get_layer("hidden1_norm")
    rng = np.random.default_rng(1)
    norm.set_weights([rng.uniform(0.5, 2, 5) for _ in norm.weights])
    gamma, beta, mean, variance = norm.get_weights()
    kernel, *bias = model.get_layer("hidden1").get_weights()

    def hidden(of_batch: bool) -> np.ndarray:
        def normalize(x: np.ndarray) -> np.ndarray:
            mu, sigma2 = (x.mean(axis=0), x.var(axis=0)) if of_batch else (mean, variance)
            return gamma * (x - mu) / np.sqrt(sigma2 + 1e-3) + beta

        def elu(x: np.ndarray) -> np.ndarray:
            return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))

        x = POOLED["avg"] @ kernel + sum(bias)
        return elu(normalize(x)) if position == "before" else normalize(elu(x))

    np.testing.assert_allclose(model(FEATURES), hidden(False), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(FEATURES, training=True), hidden(True), rtol=1e-4, atol=1e-5)


def test_dropout_drops_its_fraction_in_training_and_nothing_in_inference() -> None:
    keras.utils.set_random_seed(0)
    features = keras.Input((1, 1, 5000))
    config = HeadConfig(input_dropout=0.2)
    model = keras.Model(features, build_hidden_layers(features, config))
    ones = np.ones((2, 1, 1, 5000), np.float32)
    np.testing.assert_array_equal(model(ones), 1)
    trained = np.asarray(model(ones, training=True))
    # Five standard errors. Kept features are scaled up by 1 / (1 − rate).
    assert (trained == 0).mean() == pytest.approx(0.2, abs=5 * np.sqrt(0.16 / trained.size))
    np.testing.assert_allclose(trained[trained != 0], 1 / 0.8, rtol=1e-6)


def test_head_without_hidden_layers_is_softmax_regression() -> None:
    assert _kinds(_build(HeadConfig(activation="prelu", dropout=0.9))) == [
        "GlobalAveragePooling2D",
        "Dense",
    ]


def test_input_dropout_drops_features_and_dropout_hidden_units() -> None:
    rates = {
        layer.name: layer.rate
        for layer in _build(HeadConfig(hidden=(4, 4), input_dropout=0.2, dropout=0.4)).layers
        if isinstance(layer, keras.layers.Dropout)
    }
    assert rates == {"input_dropout": 0.2, "hidden1_dropout": 0.4, "hidden2_dropout": 0.4}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializer_applies_to_hidden_layers_and_not_to_logits(name: str) -> None:
    config = HeadConfig(hidden=(64, 64), initializer=name, initializer_stddev=3.0)
    model = _build(config)
    expected = INITIALIZERS[name].build(3.0)
    for layer in ("hidden1", "hidden2"):
        received = model.get_layer(layer).kernel_initializer
        assert type(received) is type(expected)
        assert {**received.get_config(), "seed": 0} == {**expected.get_config(), "seed": 0}
    logits = model.get_layer("logits").kernel_initializer
    assert isinstance(logits, keras.initializers.GlorotUniform)


HEADS = [
    *(HeadConfig(hidden=(4,), activation=name) for name in ACTIVATIONS),
    *(HeadConfig(hidden=(4,), initializer=name) for name in INITIALIZERS),
    *(HeadConfig(hidden=(4,), pooling=name) for name in POOLINGS),
    HeadConfig(hidden=(4, 4), batch_norm_position="after", input_dropout=0.3),
]


@pytest.mark.parametrize(
    "config", HEADS, ids=lambda c: f"{c.activation}-{c.initializer}-{c.pooling}"
)
def test_head_survives_saving(config: HeadConfig, tmp_path: Path) -> None:
    model = _build(config)
    model.save(tmp_path / "head.keras")
    again = keras.models.load_model(tmp_path / "head.keras")
    np.testing.assert_array_equal(again(FEATURES), model(FEATURES))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "leakyrelu"}, r"Unknown activation 'leakyrelu'\. Did you mean 'leaky_relu"),
        ({"initializer": "xavier"}, r"Unknown initializer 'xavier'\."),
        ({"pooling": "average"}, r"Unknown pooling 'average'\."),
    ],
)
def test_unknown_name_suggests_near_names(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        HeadConfig(**settings)


def test_standard_deviation_of_zero_is_rejected() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        HeadConfig(initializer_stddev=0.0)
