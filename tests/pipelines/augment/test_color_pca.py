"""Color PCA against scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA

from pipelines.augment.color_pca import fit_color_pca
from tests.support.rendering import build_texture


def test_color_pca_equals_scikit_learn_components_times_variances() -> None:
    images = [build_texture(40, 30, seed=seed) for seed in range(6)]
    # Correlated channels.
    mixed = [
        np.clip(i @ np.array([[0.9, 0.3, 0], [0.2, 0.6, 0.1], [0, 0, 0.5]]), 0, 255) for i in images
    ]
    images = [m.astype(np.uint8) for m in mixed]
    found = fit_color_pca(images)
    pca = PCA().fit(np.concatenate([i.reshape(-1, 3) for i in images]) / 255)
    expected = (pca.components_ * pca.explained_variance_[:, None]).T
    expected = expected * np.where(expected.sum(axis=0) < 0, -1, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_color_pca_weights_images_equally() -> None:
    small, large = build_texture(20, 20, seed=1), build_texture(90, 90, seed=2, smooth=3)
    doubled = fit_color_pca([small, large.repeat(2, 0).repeat(2, 1)])
    np.testing.assert_allclose(fit_color_pca([small, large]), doubled, rtol=0.02, atol=1e-4)
