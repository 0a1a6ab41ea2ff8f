"""Initializers: every row's variance, mean and bounds against its formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from zoo.heads.initializers import INITIALIZERS

N_IN, N_OUT, STDDEV = 400, 250, 0.3

VARIANCES = {
    "zeros": 0.0,
    "normal": STDDEV**2,
    "lecun_uniform": 1 / N_IN,
    "lecun_normal": 1 / N_IN,
    "glorot_uniform": 2 / (N_IN + N_OUT),
    "glorot_normal": 2 / (N_IN + N_OUT),
    "he_uniform": 2 / N_IN,
    "he_normal": 2 / N_IN,
    # 250 orthonormal columns in 400 dimensions.
    "orthogonal": 1 / N_IN,
}


@pytest.fixture(scope="module", params=INITIALIZERS)
def drawn(request: Any) -> tuple[str, np.ndarray]:
    import keras

    keras.utils.set_random_seed(0)
    weights = INITIALIZERS[request.param].build(STDDEV)((N_IN, N_OUT))
    return request.param, np.asarray(weights, np.float64)


def test_variance_and_mean_equal_the_formula_within_sampling_error(
    drawn: tuple[str, np.ndarray],
) -> None:
    name, weights = drawn
    variance, n = VARIANCES[name], weights.size
    # Five standard errors: that of a variance is σ²·√((κ − 1) / n), at most √(2 / n) here,
    # where no distribution has a kurtosis κ above the normal's 3.
    assert weights.var() == pytest.approx(variance, abs=5 * variance * np.sqrt(2 / n))
    assert weights.mean() == pytest.approx(0, abs=5 * np.sqrt(variance / n))


def test_distribution_matches_its_name(drawn: tuple[str, np.ndarray]) -> None:
    name, weights = drawn
    scaled = weights.ravel() / np.sqrt(VARIANCES[name] or 1)
    if name == "zeros":
        assert not weights.any()
    elif name == "orthogonal":
        np.testing.assert_allclose(weights.T @ weights, np.eye(N_OUT), atol=1e-5)
    elif name.endswith("uniform"):
        # √3 standard deviations: √(3/n_in), √(6/(n_in+n_out)), √(6/n_in).
        assert np.abs(scaled).max() <= np.sqrt(3) * (1 + 1e-6)
        assert stats.kstest(scaled, stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)).cdf).pvalue > 1e-3
    else:
        normal = stats.norm if name == "normal" else stats.truncnorm(-2, 2)
        assert stats.kstest(scaled, lambda x: normal.cdf(x * normal.std())).pvalue > 1e-3
