"""Embedded data set `digits`."""

from __future__ import annotations

import numpy as np

from pipelines.sources.opening.dataset import open_source


def test_digits_are_scikit_learns_scans() -> None:
    import tensorflow as tf
    from sklearn.datasets import load_digits

    source = open_source("digits")
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 1438, "val": 359}
    assert not source.outliers
    scan = tf.io.decode_png(source.train.read(0)).numpy()[..., 0].astype(float)
    index = int(source.train.names[0].rpartition("/")[2])
    np.testing.assert_allclose(scan * 16 / 255, load_digits().images[index], atol=0.05)
