"""Features averaged over views of an image, beside NumPy's flips of images and maps."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import keras
import numpy as np
import pytest

from pipelines.features.engines.cut_network import build_cut_network
from pipelines.features.engines.network import build_feature_network
from zoo.models.classifier import build_classifier
from zoo.models.keras_file import check_keras_file
from zoo.models.symmetry import SYMMETRIES
from zoo.models.trainable import feature_maps

SIZE = 32


def _images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, SIZE, SIZE, 3)).astype(np.float32)


def _views(name: str) -> list[tuple[bool, bool, bool]]:
    """Returns which views a row has, each as transposed, up, left."""
    most = {"none": (0, 0, 0), "mirror": (0, 0, 1), "flips": (0, 1, 1), "square": (1, 1, 1)}[name]
    return [(bool(t), bool(u), bool(v)) for t, u, v in product(*(range(m + 1) for m in most))]


def _turn(maps: np.ndarray, transposed: bool, up: bool, left: bool, back: bool) -> np.ndarray:
    def flip(maps: np.ndarray) -> np.ndarray:
        maps = maps[:, ::-1] if up else maps
        return maps[:, :, ::-1] if left else maps

    def transpose(maps: np.ndarray) -> np.ndarray:
        return maps.transpose(0, 2, 1, 3) if transposed else maps

    return transpose(flip(maps)) if back else flip(transpose(maps))


@pytest.mark.train
@pytest.mark.parametrize(("name", "levels"), [*((name, 1) for name in SYMMETRIES), ("square", 2)])
def test_features_are_the_mean_over_the_views_turned_back(name: str, levels: int) -> None:
    options = {"size": SIZE, "frozen": True, "levels": levels}
    model = build_classifier("micro_resnet_s.cifar10", 3, symmetry=name, **options)
    plain = build_classifier("micro_resnet_s.cifar10", 3, **options)
    maps, plain_maps = (
        keras.Model(one.input, keras.tree.flatten(feature_maps(one))) for one in (model, plain)
    )
    images, views = _images(), _views(name)
    assert len(views) == SYMMETRIES[name].num_views
    seen = []
    for view in views:
        found = keras.tree.flatten(plain_maps(_turn(images, *view, back=False).copy()))
        seen.append([_turn(np.asarray(one), *view, back=True) for one in found])
    received_maps = keras.tree.flatten(maps(images))
    for received, expected in zip(received_maps, zip(*seen, strict=True), strict=True):
        np.testing.assert_allclose(received, np.mean(expected, axis=0), atol=2e-5)


@pytest.mark.train
@pytest.mark.parametrize("name", SYMMETRIES)
def test_image_and_its_views_have_the_same_answer(name: str) -> None:
    model = build_classifier("micro_resnet_s.cifar10", 3, size=SIZE, symmetry=name)
    images = _images()
    answers = np.asarray(model(images))
    views = _views("square")
    turned = np.concatenate([_turn(images, *view, back=False) for view in views])
    for view, found in zip(views, np.split(np.asarray(model(turned)), len(views)), strict=True):
        same = np.abs(found - answers).max() < 1e-5
        assert same == (view in _views(name))


@pytest.mark.train
def test_saved_model_loads_in_keras_alone(tmp_path: Path) -> None:
    model = build_classifier("micro_resnet_s.cifar10", 3, size=SIZE, symmetry="square")
    path = tmp_path / "model.keras"
    model.save(path)
    check_keras_file(path)
    np.testing.assert_array_equal(keras.models.load_model(path)(_images()), model(_images()))


@pytest.mark.train
def test_networks_of_several_cuts_have_the_features_of_each() -> None:
    """As a search computes them, and as training does."""
    network, cuts = build_cut_network("micro_resnet_s.cifar10", SIZE, 2, symmetry="flips")
    images = _images().astype(np.uint8)
    found = np.asarray(network.model(images))
    for cut in cuts:
        classifier = build_classifier(
            "micro_resnet_s.cifar10",
            3,
            size=SIZE,
            truncate_blocks=cut.truncate_blocks,
            symmetry="flips",
        )
        alone = np.asarray(build_feature_network(classifier).model(images))
        np.testing.assert_allclose(found[..., cut.start : cut.stop], alone, atol=2e-5)
    others = {
        build_cut_network("micro_resnet_s.cifar10", SIZE, 0, symmetry=name)[0].digest
        for name in SYMMETRIES
    }
    assert len(others) == len(SYMMETRIES)
