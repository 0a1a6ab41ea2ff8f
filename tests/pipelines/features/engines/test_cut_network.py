"""Features of a backbone at several cuts, against networks that are truncated for real."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from pipelines.features.engines.cost import count_multiply_adds
from pipelines.features.engines.cut_network import build_cut_network, build_level_network
from pipelines.features.engines.network import FeatureNetwork, build_feature_network
from pipelines.features.engines.opening import build_probes
from zoo.backbones.catalog import build_backbone
from zoo.models.classifier import build_classifier
from zoo.models.trainable import build_pooling_model

pytestmark = pytest.mark.train

NAME, SIZE = "micro_resnet_s.cifar10", 32


@functools.cache
def _classifier(num_blocks: int, levels: int = 1) -> Any:
    options = {"frozen": True, "truncate_blocks": num_blocks, "levels": levels}
    return build_classifier(NAME, 3, size=SIZE, **options)


@functools.cache
def _truncated(num_blocks: int, levels: int = 1) -> FeatureNetwork:
    return build_feature_network(_classifier(num_blocks, levels))


@functools.cache
def _cut_network(num_blocks: int) -> tuple[FeatureNetwork, Any]:
    return build_cut_network(NAME, SIZE, num_blocks)


@functools.cache
def _features_at_all_cuts() -> np.ndarray:
    """Features of the probes above up to three blocks, all cuts beside each other."""
    network, _ = _cut_network(3)
    return np.asarray(network.model(build_probes(SIZE), training=False))


def test_cuts_have_the_features_and_costs_of_truncated_networks() -> None:
    network, cuts = _cut_network(3)
    # A residual sum crosses the places above the first and the fourth block.
    assert [cut.truncate_blocks for cut in cuts] == [0, 2, 3, 5]
    assert network.num_features == cuts[-1].stop
    images = build_probes(SIZE)
    together = _features_at_all_cuts()
    for cut in cuts:
        alone = np.asarray(_truncated(cut.truncate_blocks).model(images, training=False))
        np.testing.assert_allclose(together[:, :, cut.start : cut.stop], alone, rtol=1e-5)
        backbone = build_backbone(NAME, SIZE, truncate_blocks=cut.truncate_blocks)
        assert cut.num_parameters == backbone.count_params()
        assert cut.multiply_adds == count_multiply_adds(backbone)


@pytest.mark.parametrize(("num_blocks", "levels"), [(0, 2), (0, 4), (2, 2), (3, 2)])
@pytest.mark.parametrize("pooling", ["avg", "concatenated"])
def test_levels_of_a_classifier_are_neighboring_cuts(
    num_blocks: int, levels: int, pooling: str
) -> None:
    _, cuts = _cut_network(3)
    first = next(i for i, cut in enumerate(cuts) if cut.truncate_blocks == num_blocks)
    channels = slice(cuts[first].start, cuts[first + levels - 1].stop)
    images = build_probes(SIZE)
    rows = _features_at_all_cuts()[:, :, channels]
    classifier = build_classifier(
        NAME, 3, size=SIZE, frozen=True, truncate_blocks=num_blocks, levels=levels,
        head={"pooling": pooling},
    )  # fmt: skip
    own = build_feature_network(classifier)
    np.testing.assert_allclose(np.asarray(own.model(images, training=False)), rows, rtol=1e-5)
    # The head's input is what is read from the stored features: means, then maxima.
    expected = rows.reshape(len(rows), -1) if pooling == "concatenated" else rows[:, 0]
    pooled = build_pooling_model(classifier)(images.astype("float32"))
    np.testing.assert_allclose(np.asarray(pooled), expected, rtol=1e-5)


def test_other_levels_are_other_features() -> None:
    digests = {_truncated(0, levels).digest for levels in (1, 2, 3)}
    assert len(digests) == 3


def test_other_cuts_are_other_features() -> None:
    digests = {_cut_network(number)[0].digest for number in range(4)}
    assert len(digests) == 4


def test_whole_backbone_shares_the_features_of_a_classifier() -> None:
    network, cuts = _cut_network(0)
    assert network.digest == _truncated(0).digest
    assert [(cut.truncate_blocks, cut.start) for cut in cuts] == [(0, 0)]


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize("num_blocks", [0, 2])
def test_levels_share_the_features_of_the_classifier_with_the_most(
    num_blocks: int, levels: int
) -> None:
    network, widths = build_level_network(_classifier(num_blocks, levels), NAME, 3)
    # Places above 3 blocks and fewer; the classifier's own levels may lie lower.
    most = max(levels, 3)
    assert len(widths) == most
    assert network.num_features == sum(widths)
    assert network.digest == _truncated(num_blocks, most).digest
    if not num_blocks:
        assert network.digest == _cut_network(most - 1)[0].digest
