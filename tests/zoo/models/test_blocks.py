"""Blocks of a backbone: unfreezing, depth, and the kernels above them."""

from __future__ import annotations

import pytest

from tests.support.fitting import BACKBONES, HEAD, changed_weights, copy_weights, fit_briefly
from zoo.backbones.base import blocks_of
from zoo.backbones.catalog import resolve
from zoo.errors import RecipeError
from zoo.heads.head import HeadConfig
from zoo.models.blocks import backbone_of, depth_of, head_kernels, unfreeze_top
from zoo.models.classifier import build_classifier


@pytest.mark.train
@pytest.mark.parametrize("name", BACKBONES)
def test_unfreeze_top_trains_those_blocks_and_moves_no_statistics(name: str) -> None:
    classifier = build_classifier(name, 3, size=48, head=HEAD, frozen=True)
    network = backbone_of(classifier, name)
    unfreeze_top(classifier, name, 1)
    top = blocks_of(resolve(name)[0], network)[-1]
    allowed = {v.path for layer in top for v in layer.trainable_variables}
    before = copy_weights(network)
    fit_briefly(classifier, 48)
    moved = changed_weights(before, network)
    assert moved
    assert moved <= allowed
    assert not any("moving" in path for path in moved)


def test_unfreeze_more_blocks_than_there_are_says_how_many() -> None:
    classifier = build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=True)
    with pytest.raises(RecipeError, match=r"expected fine_tune\.blocks from 0 to \d+; received 99"):
        unfreeze_top(classifier, "micro_resnet_s", 99)


@pytest.mark.train
def test_blocks_are_counted_from_where_a_backbone_ends() -> None:
    classifier = build_classifier(
        "micro_resnet_s", 3, size=32, head=HEAD, frozen=True, truncate_blocks=3
    )
    unfreeze_top(classifier, "micro_resnet_s", 1)
    network = backbone_of(classifier, "micro_resnet_s")
    before = copy_weights(network)
    fit_briefly(classifier, 32)
    moved = changed_weights(before, network)
    assert moved
    assert all(path.startswith(("stage2_res2", "micro_resnet_s/stage2_res2")) for path in moved)


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
