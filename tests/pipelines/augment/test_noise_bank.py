"""Noise bank: moments, distribution and independence of its values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipelines.augment.noise_bank import BANK_SIZE, STEPS_PER_SIGMA, build_noise_bank


@pytest.mark.train
def test_noise_bank_is_normal() -> None:
    bank = build_noise_bank()
    assert len(bank) == BANK_SIZE
    z = (bank.astype(np.float32) - 128) / STEPS_PER_SIGMA
    # For 16.8 million values the mean's standard error is 0.00024, the variance's 0.00035.
    assert abs(z.mean()) < 0.001
    assert abs(z.var() - 1) < 0.002
    assert abs(stats.skew(z)) < 0.005
    assert abs(stats.kurtosis(z)) < 0.01
    # Every byte is as frequent as in a rounded normal distribution.
    counts = np.bincount(bank, minlength=256)[1:]
    edges = (np.arange(-127, 129) - 0.5) / STEPS_PER_SIGMA
    frequencies = np.diff(stats.norm.cdf(edges))
    frequencies[0], frequencies[-1] = stats.norm.cdf(edges[1]), stats.norm.sf(edges[-2])
    assert stats.chisquare(counts, BANK_SIZE * frequencies).pvalue > 0.001
    # Nearby values are independent: neighbors, channels, rows.
    for lag in (1, 2, 3, 96, 672):
        assert abs(np.corrcoef(z[:-lag], z[lag:])[0, 1]) < 5 / np.sqrt(BANK_SIZE)
