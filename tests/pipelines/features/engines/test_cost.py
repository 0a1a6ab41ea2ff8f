"""Multiply-adds of a network."""

from __future__ import annotations

import keras
import pytest

from pipelines.features.engines.cost import count_multiply_adds
from pipelines.features.engines.network import build_feature_network
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier


def test_each_kernel_counts_at_each_position_of_its_output() -> None:
    inner = keras.Sequential([keras.layers.Input((8, 8, 6)), keras.layers.DepthwiseConv2D(3)])
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(6, 5, strides=2, padding="same")(images)  # 8 × 8
    x = keras.layers.BatchNormalization()(x)
    x = inner(x)  # 6 × 6
    x = keras.layers.Conv2D(4, 1, groups=2)(x)
    x = keras.layers.SeparableConv2D(5, 3, padding="same")(x)
    x = keras.layers.Flatten()(x)
    model = keras.Model(images, keras.layers.Dense(7)(x))
    convolutions = 8 * 8 * (5 * 5 * 3 * 6) + 6 * 6 * (3 * 3 * 6) + 6 * 6 * (3 * 4)
    separable, dense = 6 * 6 * (3 * 3 * 4 + 4 * 5), 6 * 6 * 5 * 7
    assert count_multiply_adds(model) == convolutions + separable + dense


def test_network_that_sees_an_image_twice_costs_twice() -> None:
    costs = [
        count_multiply_adds(
            build_feature_network(build_classifier("micro_resnet_s", 3, symmetry=name)).model
        )
        for name in ("none", "mirror", "square")
    ]
    assert costs == [costs[0], 2 * costs[0], 8 * costs[0]]


@pytest.mark.parametrize(
    ("backbone", "size", "millions"),
    [
        ("mobilenet_v2", 224, 300),  # Sandler et al. 2018, table 4
        ("efficientnet_b0", 224, 390),  # Tan and Le 2019, table 2
        ("vgg16", 224, 15_300),  # He et al. 2016, on VGG-16
    ],
)
def test_count_is_that_of_the_papers(backbone: str, size: int, millions: int) -> None:
    classifier = build_classifier(backbone, 3, size=size, head=HeadConfig(), frozen=True)
    received = count_multiply_adds(build_feature_network(classifier).model)
    assert received / 1e6 == pytest.approx(millions, rel=0.05), "without the top"
