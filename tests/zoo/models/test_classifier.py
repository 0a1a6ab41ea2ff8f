"""Classifier: frozen means frozen, unfrozen means the blocks named and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from zoo.backbones.base import blocks_of
from zoo.backbones.catalog import resolve
from zoo.errors import RecipeError, UnknownNameError
from zoo.heads.head import HeadConfig
from zoo.models.blocks import backbone_of, depth_of, head_kernels, unfreeze_top
from zoo.models.classifier import build_classifier
from zoo.models.trainable import build_logits_model

# The plain one, one with batch normalization, one that also drops paths at random.
BACKBONES = ["squeezenet1_1", "micro_resnet_s", "efficientnet_b0"]
HEAD = HeadConfig(hidden=(8,))


def _fit(classifier: Any, size: int, *, frozen: bool = True) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (16, size, size, 3)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 16)]
    model = build_logits_model(classifier, frozen=frozen)
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    model.fit(images, labels, batch_size=8, epochs=2, verbose=0)


def _snapshot(model: Any) -> dict[str, np.ndarray]:
    return {v.path: v.numpy() for v in model.weights}


def _moved(before: dict[str, np.ndarray], model: Any) -> set[str]:
    after = _snapshot(model)
    return {path for path in after if not np.array_equal(before[path], after[path])}


@pytest.mark.train
@pytest.mark.parametrize("name", BACKBONES)
def test_frozen_backbone_keeps_every_weight(name: str) -> None:
    classifier = build_classifier(name, 3, size=48, head=HEAD, frozen=True)
    network = backbone_of(classifier, name)
    before, before_all = _snapshot(network), _snapshot(classifier)
    _fit(classifier, 48)
    assert not _moved(before, network)
    assert any("moving" in path for path in before) == (name != "squeezenet1_1")
    moved = _moved(before_all, classifier)
    assert {"logits/kernel", "hidden1/kernel"} <= moved
    assert any("moving_mean" in path for path in moved), "the head's own statistics do move"


@pytest.mark.parametrize("name", BACKBONES)
def test_frozen_backbone_answers_alike_in_training(name: str) -> None:
    classifier = build_classifier(name, 3, size=48, head=HeadConfig(), frozen=True)
    images = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3)).astype(np.float32)
    model = build_logits_model(classifier, frozen=True)
    # Batch normalization that is unfrozen would normalize by the batch in training.
    unfreeze_top(classifier, name, 2)
    np.testing.assert_array_equal(
        np.asarray(model(images, training=True)), np.asarray(model(images, training=False))
    )


def test_logits_are_those_behind_the_probabilities() -> None:
    classifier = build_classifier("squeezenet1_1", 3, size=48, head=HEAD, frozen=True)
    images = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3)).astype(np.float32)
    logits = np.asarray(build_logits_model(classifier, frozen=True)(images))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(classifier(images)), softmax, atol=1e-6)


@pytest.mark.train
@pytest.mark.parametrize("name", BACKBONES)
def test_unfreeze_top_trains_those_blocks_and_moves_no_statistics(name: str) -> None:
    classifier = build_classifier(name, 3, size=48, head=HEAD, frozen=True)
    network = backbone_of(classifier, name)
    unfreeze_top(classifier, name, 1)
    top = blocks_of(resolve(name)[0], network)[-1]
    allowed = {v.path for layer in top for v in layer.trainable_variables}
    before = _snapshot(network)
    _fit(classifier, 48)
    moved = _moved(before, network)
    assert moved
    assert moved <= allowed
    assert not any("moving" in path for path in moved)


def test_unfreeze_more_blocks_than_there_are_says_how_many() -> None:
    classifier = build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=True)
    with pytest.raises(RecipeError, match=r"expected fine_tune\.blocks from 0 to \d+; received 99"):
        unfreeze_top(classifier, "micro_resnet_s", 99)


def test_classifier_on_lower_blocks_reads_their_features(tmp_path: Path) -> None:
    head = HeadConfig(pooling="concatenated")
    classifier = build_classifier(
        "micro_resnet_s", 3, size=32, head=head, frozen=True, truncate_blocks=3
    )
    network = backbone_of(classifier, "micro_resnet_s")
    whole = resolve("micro_resnet_s")[0].build(32)
    for layer in network.layers[1:]:
        whole.get_layer(layer.name).set_weights(layer.get_weights())
    images = np.random.default_rng(0).uniform(-2, 2, (2, 32, 32, 3)).astype(np.float32)
    stage = keras.Model(whole.input, whole.get_layer("stage2_add_relu").output)
    np.testing.assert_allclose(network(images), stage(images), atol=1e-5)
    # 64 filters, their means and their maxima.
    assert classifier.get_layer("logits").kernel.shape == (128, 3)
    classifier.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), classifier(images))


@pytest.mark.train
def test_blocks_are_counted_from_where_a_backbone_ends() -> None:
    classifier = build_classifier(
        "micro_resnet_s", 3, size=32, head=HEAD, frozen=True, truncate_blocks=3
    )
    unfreeze_top(classifier, "micro_resnet_s", 1)
    network = backbone_of(classifier, "micro_resnet_s")
    before = _snapshot(network)
    _fit(classifier, 32)
    moved = _moved(before, network)
    assert moved
    assert all(path.startswith(("stage2_res2", "micro_resnet_s/stage2_res2")) for path in moved)


@pytest.mark.train
def test_unfrozen_backbone_trains_throughout() -> None:
    classifier = build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=False)
    before = _snapshot(classifier)
    _fit(classifier, 32, frozen=False)
    # The whitening of its first layer is fitted, not trained.
    assert _moved(before, classifier) == set(before) - {"whiten/kernel"}


@pytest.mark.parametrize("name", BACKBONES)
def test_depth_counts_blocks_from_the_head_down(name: str) -> None:
    classifier = build_classifier(name, 3, size=48, head=HEAD, frozen=False)
    depth = depth_of(classifier, name)
    blocks = blocks_of(resolve(name)[0], backbone_of(classifier, name))
    below = [depth(v) for block in reversed(blocks) for layer in block for v in layer.variables]
    assert below == sorted(below)
    assert set(below) == set(range(1, len(blocks) + 1))
    inside = {id(v) for v in backbone_of(classifier, name).variables}
    assert {depth(v) for v in classifier.variables if id(v) not in inside} == {0}


def test_kernels_of_the_head_are_found() -> None:
    classifier = build_classifier(
        "micro_resnet_s", 3, size=32, head=HeadConfig(hidden=(8, 4)), frozen=True
    )
    kernels = head_kernels(classifier, "micro_resnet_s")
    shapes = {name: kernel.shape for name, kernel in kernels.items()}
    assert shapes == {"hidden1": (128, 8), "hidden2": (8, 4), "logits": (4, 3)}


def test_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mobilenet_v2"):
        build_classifier("mobilenetv2", 3, size=32, head=HeadConfig(), frozen=True)


@pytest.mark.parametrize("config", [HeadConfig(), HEAD, HeadConfig(pooling="max", hidden=(8, 4))])
def test_head_has_the_layers_of_its_recipe(config: HeadConfig) -> None:
    classifier = build_classifier("micro_resnet_s", 5, size=32, head=config, frozen=True)
    kinds = [type(layer).__name__ for layer in classifier.layers]
    assert kinds.count("Dense") == len(config.hidden) + 1
    assert kinds.count("BatchNormalization") == kinds.count("Dropout") == len(config.hidden)
    assert classifier.output_shape == (None, 5)
    hidden = [layer for layer in classifier.layers if layer.name in ("hidden1", "hidden2")]
    assert all(isinstance(h.kernel_initializer, keras.initializers.HeNormal) for h in hidden)


@pytest.mark.train
def test_saved_classifier_loads_without_this_project(tmp_path: Path) -> None:
    classifier = build_classifier("squeezenet1_1", 3, size=48, head=HEAD, frozen=True)
    classifier.save(tmp_path / "model.keras")
    images = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    code = (
        "import keras, numpy as np, sys; m = keras.models.load_model('model.keras');"
        "np.save('answers.npy', m.predict_on_batch(np.load('images.npy')));"
        "assert 'zoo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True)
    theirs = np.load(tmp_path / "answers.npy")
    np.testing.assert_allclose(theirs, classifier.predict_on_batch(images), atol=1e-6)


def test_classifier_defaults_to_the_weights_size_and_freezes_them() -> None:
    pretrained = build_classifier("micro_resnet_s.cifar10", 3, head={"hidden": [8]})
    assert pretrained.input_shape == (None, 32, 32, 3)
    assert not pretrained.get_layer("micro_resnet_s").trainable
    assert pretrained.get_layer("hidden1").units == 8
    assert build_classifier("micro_resnet_s", 3).get_layer("micro_resnet_s").trainable
