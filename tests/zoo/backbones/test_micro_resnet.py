"""MicroResNet: sizes, initialization, whitening, and loading without this project."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from zoo.backbones.base import Backbone
from zoo.backbones.catalog import BACKBONES
from zoo.backbones.micro_resnet import ROWS, whiten
from zoo.normalization import NORMALIZATIONS


@pytest.mark.parametrize(("size", "map_size"), [(32, 3), (33, 4), (48, 5), (64, 7)])
def test_micro_resnet_builds_at_any_size_from_32(size: int, map_size: int) -> None:
    model = BACKBONES["micro_resnet_s"].build(size)
    assert tuple(model.output.shape) == (None, map_size, map_size, 128)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_convolutions_are_normalized_and_start_as_the_identity(row: Backbone) -> None:
    model = row.build(32)
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert [x.name for x in convolutions[:2]] == ["whiten", "stage1_conv"]
    assert len(convolutions) == 10
    for convolution in convolutions[1:]:
        assert not convolution.use_bias
        name = f"{convolution.name}_bn"
        assert isinstance(model.get_layer(name), keras.layers.BatchNormalization)
        kernel = convolution.get_weights()[0]
        passed = min(kernel.shape[2:])
        image = np.random.default_rng(0).normal(size=(1, 5, 5, kernel.shape[2]))
        image = image.astype(np.float32)
        through = keras.ops.convert_to_numpy(convolution(image))
        np.testing.assert_allclose(through[..., :passed], image[..., :passed], atol=1e-6)
        rest = kernel[..., passed:]
        if rest.size:
            # 2,000 values or more: the deviation of a sample that size is within 5 %.
            assert rest.std() == pytest.approx(np.sqrt(1 / (27 * kernel.shape[2])), rel=0.05)


def test_whitened_channels_are_uncorrelated_with_both_signs() -> None:
    rng = np.random.default_rng(0)
    # Neighboring pixels are correlated, as in photographs.
    images = rng.normal(size=(64, 32, 32, 3)).cumsum(1).cumsum(2).astype(np.float32)
    model = BACKBONES["micro_resnet_s"].build(32)
    whiten(model, images)
    layer = model.get_layer("whiten")
    channels = keras.ops.convert_to_numpy(layer(images)).reshape(-1, 24)
    covariance = channels[:, :12].T @ channels[:, :12] / len(channels)
    np.testing.assert_allclose(covariance, np.eye(12), atol=0.05)
    np.testing.assert_allclose(channels[:, 12:], -channels[:, :12], atol=1e-5)
    assert not layer.trainable


def test_features_keep_their_scale_at_initialization() -> None:
    keras.utils.set_random_seed(0)
    pixels = np.random.default_rng(0).uniform(0, 255, (16, 32, 32, 3)).astype("float32")
    normalized = NORMALIZATIONS["cifar10"].apply(keras.ops.convert_to_tensor(pixels))
    features = np.asarray(BACKBONES["micro_resnet_m"].build(32)(normalized, training=False))
    assert 0.1 < features.std() < 100
