"""EfficientNet-Lite: published sizes, layers, padding and scaling."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.support.networks import build_empty, random_images
from zoo.backbones.catalog import BACKBONES
from zoo.backbones.efficientnet_lite import ROWS

# https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
PUBLISHED_MILLIONS = {0: 4.7, 1: 5.4, 2: 6.1, 3: 8.2, 4: 13.0}


@pytest.mark.parametrize(("scale", "millions"), PUBLISHED_MILLIONS.items())
def test_parameters_with_the_imagenet_top_are_the_published_ones(
    scale: int, millions: float
) -> None:
    model = build_empty(BACKBONES[f"efficientnet_lite{scale}"], 32)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    top = 1280 * 1000 + 1000
    assert round((trainable + top) / 1e6, 1) == millions


def test_rows_have_the_published_native_sizes() -> None:
    assert [row.input_size for row in ROWS] == [224, 240, 260, 280, 300]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_layers_are_those_of_the_lite_variant(row: object) -> None:
    model = build_empty(row, 32)
    convolutions = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            assert (layer.use_bias, layer.padding) == (False, "same")
            convolutions += 1
        elif isinstance(layer, keras.layers.BatchNormalization):
            assert layer.epsilon == 1e-3
            convolutions -= 1
        elif isinstance(layer, keras.layers.Activation):
            assert layer.activation is keras.activations.relu6
        else:
            assert isinstance(layer, keras.layers.InputLayer | keras.layers.Add)
    assert convolutions == 0  # each one is normalized
    assert model.get_layer("stem_conv").filters == 32
    assert model.get_layer("top_conv").filters == 1280
    names = {layer.name for layer in model.layers}
    # The first and the last stage stay at one block.
    assert not names & {"block1b_project_conv", "block7b_project_conv"}


def test_stages_of_lite2_are_scaled_in_width_and_depth() -> None:
    model = build_empty(BACKBONES["efficientnet_lite2"], 32)
    projections = [x for x in model.layers if x.name.endswith("_project_conv")]
    # 1.1 times 16, 24, 40, 80, 112, 192 and 320, to the nearest multiple of 8; 1.2 times
    # the blocks, rounded up.
    stages = [(1, 16), (3, 24), (3, 48), (4, 88), (4, 120), (5, 208), (1, 352)]
    assert [x.filters for x in projections] == [f for n, f in stages for _ in range(n)]
    skips = [x.name for x in model.layers if isinstance(x, keras.layers.Add)]
    assert len(skips) == sum(n - 1 for n, _ in stages)


@pytest.mark.parametrize(("size", "before"), [(32, 0), (33, 1)])
def test_stride_2_pads_as_tensorflow_does(size: int, before: int) -> None:
    """At an even size all padding is at the bottom and right; at an odd size on each side."""
    row = BACKBONES["efficientnet_lite0"]
    stem = row.build(size).get_layer("stem_conv")
    images = random_images(size, 1)
    (kernel,) = stem.get_weights()
    padded = np.pad(images, ((0, 0), (before, 1), (before, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    expected = np.einsum("bhwcij,ijcf->bhwf", windows, kernel)
    np.testing.assert_allclose(np.asarray(stem(images)), expected, rtol=1e-4, atol=1e-3)
