"""TiedDense: one kernel in both directions, in an autoencoder compared with PCA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA

from zoo.heads.head import HeadConfig, build_hidden_layers
from zoo.layers import TiedDense
from zoo.models.classifier import build_features

RNG = np.random.default_rng(0)
# Ten dimensions with variance in five directions, around a mean that is not 0.
SAMPLES = (
    RNG.normal(0, 1, (200, 5)) @ RNG.normal(0, 1, (5, 10)) + RNG.normal(0, 0.1, (200, 10)) + 3
).astype(np.float32)


def _autoencoder(inputs: Any, units: int) -> Any:
    tied = TiedDense(units, name="tied")
    return tied(tied(inputs), reverse=True)


def test_tied_dense_encodes_and_decodes_with_one_kernel() -> None:
    layer = TiedDense(3)
    code = np.asarray(layer(SAMPLES))
    kernel, bias, reverse_bias = (
        RNG.normal(size=w.shape).astype(np.float32) for w in layer.weights
    )
    layer.set_weights([kernel, bias, reverse_bias])
    assert code.shape == (200, 3)
    assert layer.count_params() == 10 * 3 + 3 + 10
    np.testing.assert_allclose(layer(SAMPLES), SAMPLES @ kernel + bias, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        layer(code, reverse=True), code @ kernel.T + reverse_bias, rtol=1e-4, atol=1e-4
    )


def test_kernel_gradient_sums_both_directions() -> None:
    layer = TiedDense(3)
    layer.build((None, 10))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum((layer(layer(SAMPLES), reverse=True) - SAMPLES) ** 2) / 2
    found = tape.gradient(loss, layer.kernel.value).numpy()
    # The gradient of ½‖XWWᵀ − X‖², in NumPy.
    x, w = SAMPLES.astype(np.float64), layer.get_weights()[0].astype(np.float64)
    error = x @ w @ w.T - x
    encoder, decoder = x.T @ error @ w, error.T @ x @ w
    np.testing.assert_allclose(found, encoder + decoder, rtol=1e-3, atol=1e-1)
    assert not np.allclose(found, decoder, rtol=1e-2)


@pytest.mark.train
def test_tied_autoencoder_has_its_optimum_at_pca() -> None:
    inputs = keras.Input((10,))
    model = keras.Model(inputs, _autoencoder(inputs, 3))
    pca = PCA(3).fit(SAMPLES)
    components, mean = pca.components_.T, pca.mean_
    best = [components, -mean @ components, mean]
    least = np.mean((pca.inverse_transform(pca.transform(SAMPLES)) - SAMPLES) ** 2)
    model.set_weights(best)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(SAMPLES) - SAMPLES) ** 2)
    assert float(loss) == pytest.approx(least, rel=1e-4)
    for gradient in tape.gradient(loss, [weight.value for weight in model.trainable_weights]):
        np.testing.assert_allclose(gradient, 0, atol=1e-4)
    # From a perturbed start, training returns to the optimum and not below it.
    model.set_weights([weight + RNG.normal(0, 0.1, weight.shape) for weight in best])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    before = model.evaluate(SAMPLES, SAMPLES, batch_size=200, verbose=0)
    # Steps on all samples; a hundred epochs of one step each would take far longer.
    hundredfold = np.tile(SAMPLES, (100, 1))
    model.fit(hundredfold, hundredfold, batch_size=200, shuffle=False, verbose=0)
    after = model.evaluate(SAMPLES, SAMPLES, batch_size=200, verbose=0)
    assert before > 1.2 * least
    assert 0.9999 * least <= after <= 1.05 * least


def test_autoencoder_head_stays_tied_through_saving(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    images, features = build_features("micro_resnet_s", 32, frozen=True)
    pooled = build_hidden_layers(features, HeadConfig())
    model = keras.Model(images, {"pooled": pooled, "restored": _autoencoder(pooled, 8)})
    trained = [weight.path for weight in model.trainable_weights]
    assert trained == ["tied/kernel", "tied/bias", "tied/reverse_bias"]
    pixels = RNG.integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    before = model.predict_on_batch(pixels)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    after = loaded.predict_on_batch(pixels)
    np.testing.assert_allclose(after["restored"], before["restored"], rtol=1e-5)
    # Still one kernel: assigning another changes both directions.
    tied = loaded.get_layer("tied")
    kernel = RNG.normal(size=tied.kernel.shape).astype(np.float32)
    tied.kernel.assign(kernel)
    np.testing.assert_allclose(
        loaded.predict_on_batch(pixels)["restored"],
        before["pooled"] @ kernel @ kernel.T,
        rtol=1e-3,
        atol=1e-3,
    )


def test_tied_dense_without_a_unit_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"needs at least one unit\. Received: units=0"):
        TiedDense(0)
