"""Maps from uniform numbers to distributions, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pipelines.augment.distributions import to_beta


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_to_betas_are_scipys_and_the_draws_beta(alpha: float) -> None:
    rng = np.random.default_rng(0)
    uniform = rng.random(20_000, np.float32)
    found = np.asarray(to_beta(tf.constant(uniform), alpha))
    beta = stats.beta(alpha, alpha)
    # The distribution is symmetric; near 1 float32 is too coarse to compare probabilities.
    low = uniform < 0.5
    assert np.abs(beta.cdf(found[low]) - uniform[low]).max() < 1 / 4096
    np.testing.assert_allclose(found[~low], beta.ppf(uniform[~low]), atol=0.1)
    assert stats.kstest(found[low], lambda x: 2 * beta.cdf(x)).pvalue > 0.001
    assert abs(low.mean() - 0.5) < 0.02
