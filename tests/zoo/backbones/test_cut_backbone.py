"""Truncated backbones and their levels: output layers, features, and cuts that are rejected."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.support.networks import build_empty, num_parameters, random_images
from zoo.backbones.base import blocks_of, cut_backbone
from zoo.backbones.catalog import BACKBONES
from zoo.errors import RecipeError
from zoo.private_api import producer_of


@pytest.mark.parametrize(
    ("name", "num_blocks", "last"),
    [
        ("micro_resnet_s", 2, "stage3_conv_relu"),
        ("micro_resnet_s", 3, "stage2_add_relu"),
        ("squeezenet1_1", 4, "pool5"),
        ("vgg16", 3, "block4_pool"),
        ("resnet50", 1, "conv5_block2_out"),
        ("mobilenet_v2", 2, "block_15_add"),
        ("inception_v3", 3, "mixed7"),
        ("densenet121", 1, "conv5_block15_concat"),
        ("efficientnet_lite0", 3, "block6c_add"),
        ("efficientnet_b0", 2, "block6d_add"),
    ],
)
def test_truncated_backbone_ends_with_its_highest_block(
    name: str, num_blocks: int, last: str
) -> None:
    row = BACKBONES[name]
    whole = build_empty(row, row.min_size)
    lower = cut_backbone(row, whole, num_blocks)
    expected = whole.get_layer(last).output
    assert lower.output is expected
    assert (lower.name, lower.input_shape) == (whole.name, whole.input_shape)
    left = blocks_of(row, lower)
    assert len(left) == len(blocks_of(row, whole)) - num_blocks
    assert num_parameters(left[-1]) > 0


def test_features_of_a_dense_layer_are_a_map_of_one_pixel() -> None:
    row = BACKBONES["deep_belief_network"]
    whole = build_empty(row, row.min_size)
    lower = cut_backbone(row, whole, 1)
    assert lower.output_shape == (None, 1, 1, 512)
    assert producer_of(lower.output).input is whole.get_layer("hidden2").output
    assert len(blocks_of(row, lower)) == len(blocks_of(row, whole)) - 1
    assert {len(output.shape) for output in cut_backbone(row, whole, 0, 3).outputs} == {4}


@pytest.mark.train
@pytest.mark.parametrize("name", ["convnext_tiny", "mobilenet_v3_small", "xception"])
def test_truncated_backbone_computes_intermediate_features(name: str) -> None:
    keras.utils.set_random_seed(0)
    row = BACKBONES[name]
    whole = row.build(row.min_size)
    pixels = random_images(row.min_size, 1)
    for num_blocks in (1, 4):
        lower = cut_backbone(row, whole, num_blocks)
        source = producer_of(lower.output)
        names = {layer.name for layer in lower.layers}
        expected = keras.Model(whole.input, [source.output, whole.output])(pixels)[0]
        np.testing.assert_allclose(lower(pixels), expected, rtol=1e-5, atol=1e-5)
        gone = blocks_of(row, whole)[-num_blocks:]
        assert not names & {layer.name for block in gone for layer in block}


@pytest.mark.parametrize(
    ("name", "num_blocks", "possible"),
    [
        ("micro_resnet_s", 1, "0, 2, 3, 5, 6, 8, 9"),
        ("micro_resnet_s", 99, "0, 2, 3, 5, 6, 8, 9"),
        ("nasnet_mobile", 1, "0"),  # a cell takes the two below it
    ],
)
def test_cut_backbone_rejects_a_cut_across_branches(
    name: str, num_blocks: int, possible: str
) -> None:
    row = BACKBONES[name]
    message = rf"cannot be truncated by {num_blocks} of its \d+ blocks; expected .* of {possible};"
    with pytest.raises(RecipeError, match=message):
        cut_backbone(row, build_empty(row, row.min_size), num_blocks)


@pytest.mark.parametrize(
    ("name", "num_blocks", "levels", "last"),
    [
        ("micro_resnet_s", 0, 2, ["stage3_conv_relu"]),
        ("micro_resnet_s", 2, 2, ["stage3_conv_relu", "stage2_add_relu"]),
        ("resnet50", 0, 3, ["conv5_block2_out", "conv5_block1_out"]),
        ("efficientnet_lite0", 2, 2, ["block6d_add", "block6c_add"]),
    ],
)
def test_levels_are_the_outputs_of_truncated_backbones(
    name: str, num_blocks: int, levels: int, last: list[str]
) -> None:
    row = BACKBONES[name]
    whole = build_empty(row, row.min_size)
    model = cut_backbone(row, whole, num_blocks, levels)
    expected = [whole.get_layer(layer).output for layer in last]
    if not num_blocks:
        expected.insert(0, whole.output)
    assert len(model.outputs) == levels
    assert all(a is b for a, b in zip(model.outputs, expected, strict=True))


def test_more_levels_than_there_are_name_those_there_are() -> None:
    row = BACKBONES["micro_resnet_s"]
    whole = build_empty(row, row.min_size)
    with pytest.raises(RecipeError, match=r"levels from 1 to 5; received 6; .*levels=5 takes all"):
        cut_backbone(row, whole, 3, 6)
    with pytest.raises(RecipeError, match=r"from 1 to 1; received 2"):
        cut_backbone(BACKBONES["nasnet_mobile"], build_empty(BACKBONES["nasnet_mobile"], 32), 0, 2)
