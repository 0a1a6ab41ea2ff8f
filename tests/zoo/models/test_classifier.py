"""Classifier: its layers and its defaults; `test_multi_task.py` loads it without this project."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from zoo.backbones.catalog import resolve
from zoo.errors import UnknownNameError
from zoo.heads.head import HeadConfig
from zoo.models.blocks import backbone_of
from zoo.models.classifier import build_classifier

HEAD = HeadConfig(hidden=(8,))


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


def test_classifier_defaults_to_the_weights_size_and_freezes_them() -> None:
    pretrained = build_classifier("micro_resnet_s.cifar10", 3, head={"hidden": [8]})
    assert pretrained.input_shape == (None, 32, 32, 3)
    assert not pretrained.get_layer("micro_resnet_s").trainable
    assert pretrained.get_layer("hidden1").units == 8
    assert build_classifier("micro_resnet_s", 3).get_layer("micro_resnet_s").trainable
