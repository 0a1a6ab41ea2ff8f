"""The smallest view of a policy against the views that it samples."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipelines.augment.augmenter import Augmenter
from pipelines.augment.policies import AugmentConfig
from zoo.preprocessing import Preprocessing


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("none", 1.0),
        ("flip_lr|rotate(180)|brightness(0.3)|shift(0.2)", 1.0),
        ("zoom(2)", 0.5),
        ("zoom(2, p=0)", 1.0),
        ("crop(0.25, aspect=1)", 0.5),
        ("crop(0.25, aspect=4)", 0.25),
        ("crop(0.25, aspect=1)|rescale(2)", 0.25),
        ("perspective(0.25)", 0.5),
        ("choose(1, zoom(2), rescale(4), flip_lr)", 0.25),
        ("choose(2, zoom(2), rescale(4), flip_lr)", 0.125),
    ],
)
def test_smallest_view_is_the_product_of_the_operations(policy: str, expected: float) -> None:
    config = AugmentConfig.from_arguments({"policy": policy})
    assert config.smallest_view == pytest.approx(expected)
    augmenter = Augmenter(config, Preprocessing(size=32), seed=0)
    count = tf.range(2000, dtype=tf.int64)
    matrix = augmenter.sample(tf.zeros_like(count), count).matrix.numpy()
    if "perspective" not in policy:
        # Along each axis of the image, what a view of side 1 shows of it.
        shown = np.linalg.norm(matrix[:, :2, :2], axis=2).min()
        assert expected - 1e-5 <= shown <= expected * 1.4 + 1e-5
