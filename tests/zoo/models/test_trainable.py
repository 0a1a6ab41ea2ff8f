"""Models that training fits: a frozen backbone stays frozen; logits share the weights."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.fitting import BACKBONES, HEAD, changed_weights, copy_weights, fit_briefly
from zoo.heads.head import HeadConfig
from zoo.models.blocks import backbone_of, unfreeze_top
from zoo.models.classifier import build_classifier
from zoo.models.trainable import build_logits_model


@pytest.mark.train
@pytest.mark.parametrize("name", BACKBONES)
def test_frozen_backbone_keeps_every_weight(name: str) -> None:
    classifier = build_classifier(name, 3, size=48, head=HEAD, frozen=True)
    network = backbone_of(classifier, name)
    before, before_all = copy_weights(network), copy_weights(classifier)
    fit_briefly(classifier, 48)
    assert not changed_weights(before, network)
    assert any("moving" in path for path in before) == (name != "squeezenet1_1")
    moved = changed_weights(before_all, classifier)
    assert {"logits/kernel", "hidden1/kernel"} <= moved
    assert any("moving_mean" in path for path in moved), "the head's own statistics do move"


@pytest.mark.train
@pytest.mark.parametrize("name", BACKBONES)
def test_frozen_backbone_predicts_alike_in_training(name: str) -> None:
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
def test_unfrozen_backbone_trains_throughout() -> None:
    classifier = build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=False)
    before = copy_weights(classifier)
    fit_briefly(classifier, 32, frozen=False)
    # The whitening of its first layer is fitted, not trained.
    assert changed_weights(before, classifier) == set(before) - {"whiten/kernel"}
