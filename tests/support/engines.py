"""Inference engines that err or stand in for others."""

from __future__ import annotations

import numpy as np

from pipelines.features.engines.network import FeatureNetwork


class EngineOff:
    """An engine whose error is a fraction of the largest feature.

    Args:
        network: The network to run.
        error: The fraction.
    """

    def __init__(self, network: FeatureNetwork, error: float) -> None:
        self.network, self.error = network, error
        self.batch_size, self.num_callers = 8, 1

    def __call__(self, images: np.ndarray) -> np.ndarray:
        features = self.network.model.predict_on_batch(images)
        return features + self.error * np.abs(features).max(axis=(0, 2), keepdims=True)
