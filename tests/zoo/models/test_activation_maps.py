"""Activation maps: beside finite differences, beside the weights of a linear head, and in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from pipelines.storage.pretrained_network import open_pretrained_network
from zoo.backbones.catalog import BACKBONES, WEIGHTS
from zoo.errors import UnknownNameError
from zoo.heads.head import HeadConfig, build_head
from zoo.models.activation_maps import (
    ACTIVATION_METHODS,
    ActivationMaps,
    has_feature_maps,
    scale_maps,
)
from zoo.models.average import build_average
from zoo.models.classifier import build_classifier
from zoo.models.multi_task import build_multi_task
from zoo.models.trainable import feature_maps
from zoo.tasks import CLASSIFICATION, Task

SIZE = 48
CLASSES = np.array([1, 0, 2])


def _images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, SIZE, SIZE, 3)).astype(np.float32)


def _classifier(**settings: Any) -> Any:
    keras.utils.set_random_seed(0)
    model = build_classifier("micro_resnet_s.cifar10", 3, size=SIZE, **settings)
    for layer in model.layers:  # a head of zeros would have no gradient
        if layer.name.startswith("logits"):
            layer.set_weights(
                [np.random.default_rng(1).normal(0, 1, w.shape) for w in layer.weights]
            )
    return model


def _combine(method: str, maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """The formula of a method, place by place."""
    found = np.zeros(maps.shape[:3])
    for image, row, column in np.ndindex(*found.shape):
        values = maps[image, row, column]
        if method == "grad_cam":
            weights = gradients[image].reshape(-1, len(values)).mean(axis=0)
        else:
            weights = np.maximum(gradients[image, row, column], 0)
        found[image, row, column] = max(0.0, float(weights @ values))
    return found


@pytest.mark.parametrize("method", ACTIVATION_METHODS)
@pytest.mark.parametrize("pooling", ["avg", "max", "concatenated"])
def test_maps_are_the_formula_of_finite_differences(method: str, pooling: str) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.Conv2D(5, 5, strides=12, activation="relu")(inputs)
    settings = {"pooling": pooling, "hidden": [6], "activation": "elu", "batch_norm": False}
    model = keras.Model(inputs, build_head(features, HeadConfig.from_arguments(settings), 3))
    images = _images() / 255
    top = keras.Model(feature_maps(model), model.get_layer("logits").output)
    maps = np.asarray(keras.Model(model.input, feature_maps(model))(images), np.float64)

    def logit(changed: np.ndarray) -> np.ndarray:
        return np.asarray(top(changed.astype(np.float32)), np.float64)[np.arange(3), CLASSES]

    step, gradients = 1e-3, np.zeros_like(maps)
    for row, column in np.ndindex(*maps.shape[1:3]):
        for channel in range(maps.shape[3]):
            more, less = maps.copy(), maps.copy()
            more[:, row, column, channel] += step
            less[:, row, column, channel] -= step
            gradients[:, row, column, channel] = (logit(more) - logit(less)) / (2 * step)
    expected = _combine(method, maps, gradients)
    received = ActivationMaps(model, method=method).compute(images, CLASSES)
    assert received.shape == maps.shape[:3]
    assert received.max() > 0
    np.testing.assert_allclose(received, expected, rtol=0.02, atol=0.01 * expected.max())


@pytest.mark.parametrize("symmetry", ["none", "mirror"])
def test_map_of_a_linear_head_is_its_kernel_on_each_place(symmetry: str) -> None:
    """Zhou et al., 2016, https://arxiv.org/abs/1512.04150: a class activation map."""
    model = _classifier(symmetry=symmetry)
    images = _images()
    maps = np.asarray(keras.Model(model.input, feature_maps(model))(images))
    kernel = model.get_layer("logits").get_weights()[0]
    places = maps.shape[1] * maps.shape[2]
    expected = np.maximum(np.einsum("bhwf,fb->bhw", maps, kernel[:, CLASSES]), 0) / places
    received = ActivationMaps(model).compute(images, CLASSES)
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=1e-5)
    scaled = scale_maps(received)
    assert scaled.max() == 1
    assert scaled.min() >= 0
    np.testing.assert_array_equal(scale_maps(np.zeros((1, 2, 2), np.float32)), 0)


def test_each_level_and_each_task_has_maps() -> None:
    model = _classifier(levels=2)
    upper, lower = (
        ActivationMaps(model, method="layer_cam", level=level).compute(_images(), CLASSES)
        for level in (0, 1)
    )
    assert upper.shape[1] <= lower.shape[1]
    tasks = [
        Task("kind", "single_label", class_names=("a", "b", "c")),
        Task("signs", "multi_label", class_names=("x", "y", "z")),
    ]
    both = build_multi_task(
        "micro_resnet_s.cifar10", SIZE, HeadConfig(), tasks, hidden={}, frozen=True
    )
    for task in tasks:
        assert ActivationMaps(both, task).compute(_images(), CLASSES).shape[0] == 3


def test_models_without_places_have_no_maps() -> None:
    model = _classifier()
    assert has_feature_maps(model)
    assert not has_feature_maps(build_average([model, _classifier()], [CLASSIFICATION]))
    one_place = build_classifier("squeezenet1_1", 3, size=32)
    assert not has_feature_maps(one_place)
    with pytest.raises(UnknownNameError, match="grad_cam"):
        ActivationMaps(model, method="gradcam")


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet1_1",
        "efficientnet_lite0",
        "mobilenet_v2",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("resnet50", "densenet121", "convnext_tiny", "efficientnet_b0")
        ),
    ],
)
def test_backbones_of_every_make_have_maps(name: str) -> None:
    size = max(64, BACKBONES[name].min_size)
    model = build_classifier(name, 3, size=size)
    images = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    found = ActivationMaps(model, method="layer_cam").compute(images, np.array([0, 2]))
    assert found.shape[0] == 2
    assert np.isfinite(found).all()


def test_trained_network_looks_at_the_bee_and_one_of_random_weights_does_not(
    photographs: Path,
) -> None:
    """A photograph in each quarter of a gray image; sanity check after Adebayo et al., 2018."""
    network = open_pretrained_network(WEIGHTS["efficientnet_lite0.imagenet"])
    bee = network.names.match(["bee"])[0]
    file = sorted((photographs / "val" / "bees").glob("*.jpg"))[3]
    picture = np.asarray(Image.open(file).convert("RGB").resize((112, 112)), np.float32)
    images = np.full((4, 224, 224, 3), 127, np.float32)
    corners = [(0, 0), (0, 112), (112, 0), (112, 112)]
    for image, (top, left) in zip(images, corners, strict=True):
        image[top : top + 112, left : left + 112] = picture
    classes = np.full(4, bee)
    found = ActivationMaps(network.model).compute(images, classes)
    centers = (np.arange(7) + 0.5) * 32
    for one, (top, left) in zip(found, corners, strict=True):
        rows = (centers >= top) & (centers < top + 112)
        columns = (centers >= left) & (centers < left + 112)
        assert one[np.ix_(rows, columns)].sum() / one.sum() > 0.6
    random = build_classifier("efficientnet_lite0", 1000, size=224)
    blind = ActivationMaps(random).compute(images, classes)
    alike = [spearmanr(a.ravel(), b.ravel())[0] for a, b in zip(found, blind, strict=True)]
    assert np.nanmean(np.abs(alike)) < 0.5
