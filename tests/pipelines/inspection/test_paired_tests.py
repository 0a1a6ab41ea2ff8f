"""Paired comparisons, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipelines.inspection.paired_tests import bootstrap_mean_interval, mcnemar_p_value


def _hits(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = [both, first, second, neither]
    pairs = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], counts, axis=0).astype(bool)
    return pairs[:, 0], pairs[:, 1]


@given(*[st.integers(0, 40)] * 4)
def test_mcnemar_is_twice_the_smaller_tail_of_the_binomial(
    both: int, first: int, second: int, neither: int
) -> None:
    a, b = _hits(both, first, second, neither)
    tail = stats.binom.cdf(min(first, second), first + second, 0.5)
    assert mcnemar_p_value(a, b) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar_p_value(a, b) == mcnemar_p_value(b, a)


def test_images_that_both_get_right_or_wrong_do_not_count() -> None:
    assert mcnemar_p_value(*_hits(0, 9, 1, 0)) == mcnemar_p_value(*_hits(500, 9, 1, 300))


@pytest.mark.parametrize("count", [30, 400])
def test_bootstrap_has_the_percentiles_of_scipy(count: int) -> None:
    rng = np.random.default_rng(count)
    differences = rng.exponential(1, count).astype(np.float32) - 0.8
    low, high = bootstrap_mean_interval(differences)
    expected = stats.bootstrap(
        (differences,), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    width = float(expected.high - expected.low)
    assert low == pytest.approx(expected.low, abs=0.05 * width)
    assert high == pytest.approx(expected.high, abs=0.05 * width)
    assert bootstrap_mean_interval(differences) == (low, high)


def test_bootstrap_of_equal_values_is_that_value() -> None:
    assert bootstrap_mean_interval(np.full(9, 0.25, np.float32)) == (0.25, 0.25)
