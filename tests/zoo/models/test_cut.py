"""A backbone cut below its top blocks: the two parts together are the whole."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.models.blocks import unfreeze_top
from zoo.models.classifier import build_classifier
from zoo.models.cut import CutBackbone
from zoo.models.standardization import build_standardization_layer
from zoo.models.trainable import build_logits_model

pytestmark = pytest.mark.train

SIZE = 64


class Kind(NamedTuple):
    """A backbone whose blocks meet in some way, and how many tensors cross its cuts."""

    backbone: str
    crossing: tuple[int, ...]
    options: dict[str, Any] | None = None


KINDS = {
    "a chain": Kind("vgg16", (1, 1)),
    "a cut inside of a residual": Kind("micro_resnet_s", (2, 1)),
    "inverted residuals": Kind("efficientnet_lite0", (1, 1)),
    "levels below the cut": Kind("efficientnet_lite0", (2, 1), {"levels": 3}),
    "a truncated one": Kind("micro_resnet_s", (1, 2), {"truncate_blocks": 2}),
    "dense blocks": Kind("densenet121", (1, 1)),
    "cells that never meet": Kind("nasnet_mobile", (2, 3)),
}
SLOW = ("dense blocks", "cells that never meet")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(kind, marks=pytest.mark.slow if name in SLOW else (), id=name)
        for name, kind in KINDS.items()
    ],
)
def kind(request: Any) -> tuple[Kind, Any]:
    keras.utils.set_random_seed(1)
    found: Kind = request.param
    return found, build_classifier(
        found.backbone, 3, size=SIZE, frozen=True, **(found.options or {})
    )


@pytest.mark.parametrize("blocks", [1, 2])
def test_parts_give_the_logits_and_gradients_of_the_whole(
    kind: tuple[Kind, Any], blocks: int
) -> None:
    row, classifier = kind
    images = np.random.default_rng(0).uniform(0, 255, (4, SIZE, SIZE, 3)).astype(np.float32)
    standardize = build_standardization_layer()
    whole = build_logits_model(classifier, frozen=True, standardize=standardize)
    unfreeze_top(classifier, row.backbone, blocks)
    cut = CutBackbone(classifier, row.backbone, blocks)
    assert cut.exists
    assert len(cut.shapes) == row.crossing[blocks - 1]
    upper = cut.build_upper_model(standardize=standardize)
    maps = keras.tree.flatten(keras.Model(*cut.lower_maps())(images, training=False))
    rows = np.concatenate([np.asarray(one).reshape(len(images), -1) for one in maps], axis=1)
    assert rows.shape == (4, cut.num_values)
    ids = {id(variable) for variable in upper.trainable_variables}
    assert ids == {id(variable) for variable in whole.trainable_variables}
    results = []
    for model, inputs in ((upper, rows), (whole, images)):
        with tf.GradientTape() as tape:
            # In training too, batch normalization takes its moving statistics.
            logits = model(inputs, training=True)
            loss = tf.reduce_sum(logits * tf.constant([1.0, -2.0, 3.0]))
        gradients = tape.gradient(loss, [v.value for v in whole.trainable_variables])
        results.append([logits, *gradients])
    for ours, theirs in zip(*results, strict=True):
        scale = float(np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * max(scale, 1e-6))


@pytest.mark.parametrize(
    ("options", "blocks"), [({}, 99), ({"symmetry": "mirror"}, 1)], ids=["all blocks", "views"]
)
def test_nothing_is_computed_once_below_all_blocks_or_of_several_views(
    options: dict[str, Any], blocks: int
) -> None:
    classifier = build_classifier("micro_resnet_s", 3, size=32, frozen=True, **options)
    assert not CutBackbone(classifier, "micro_resnet_s", blocks).exists
