"""The autoencoder's shapes around any backbone, and statistics taken over again."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from zoo.models.autoencoder import build_autoencoder, fit_batch_norm_statistics


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ("micro_resnet_s", 32),
        ("micro_resnet_s", 45),
        ("squeezenet1_1", 64),
        ("deep_belief_network", 16),
    ],
)
def test_restored_images_are_as_large_as_the_images(backbone: str, size: int) -> None:
    model = build_autoencoder(backbone, size)
    assert model.input_shape == model.output_shape == (None, size, size, 3)
    assert model.get_layer(backbone).trainable
    restored = model(np.full((2, size, size, 3), 100, np.float32), training=False)
    assert restored.dtype == "float32"
    assert np.isfinite(restored).all()


@pytest.mark.train
def test_decoder_trains_and_reaches_the_backbone() -> None:
    keras.utils.set_random_seed(0)
    model = build_autoencoder("micro_resnet_s", 32)
    before = model.get_layer("micro_resnet_s").get_layer("stage3_res1").get_weights()[0]
    images = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3)).astype(np.float32)
    model.compile("adam", "mean_squared_error")
    history = model.fit(images, images / 255, epochs=3, batch_size=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    after = model.get_layer("micro_resnet_s").get_layer("stage3_res1").get_weights()[0]
    assert np.abs(after - before).max() > 0


def _normalizing() -> Any:
    inputs = keras.Input((4,))
    x = keras.layers.Dense(3, name="dense")(inputs)
    return keras.Model(inputs, keras.layers.BatchNormalization(momentum=0.7, name="bn")(x))


def test_statistics_are_those_of_all_images() -> None:
    rng = np.random.default_rng(0)
    model = _normalizing()
    # Batches of which each is unlike the others, the last one shorter.
    sizes = enumerate((6, 6, 3))
    batches = [rng.normal(2 * n, 3, (size, 4)).astype(np.float32) for n, size in sizes]
    kernel, bias = model.get_layer("dense").get_weights()
    layer = model.get_layer("bn")
    layer.set_weights([np.full(3, v, np.float32) for v in (1.5, 0.5, 7.0, 9.0)])
    fit_batch_norm_statistics(model, batches)
    values = np.concatenate(batches) @ kernel + bias
    scale, shift, mean, variance = layer.get_weights()
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(variance, values.var(axis=0), rtol=1e-4)
    assert layer.momentum == 0.7
    # Nothing else has moved.
    np.testing.assert_array_equal(scale, np.float32(1.5))
    np.testing.assert_array_equal(shift, np.float32(0.5))
    np.testing.assert_array_equal(model.get_layer("dense").get_weights()[0], kernel)
