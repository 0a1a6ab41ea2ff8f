"""Learning curves: the law beside SciPy's fit of it, and what it foretells beside what comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from tuning.learning_curve import PowerLaw, extrapolate, fit_power_law

SIZES = np.array([50, 100, 200, 400, 800])


@settings(max_examples=30)
@given(a=st.floats(0, 0.3), b=st.floats(0.5, 3), c=st.floats(0.2, 1))
def test_a_law_without_noise_is_found_and_foretold(a: float, b: float, c: float) -> None:
    law = PowerLaw(a, b, c)
    errors = a + b * SIZES**-c
    found = fit_power_law(SIZES, errors)
    for size in (75, 800, 1600):
        assert found(size) == pytest.approx(min(1, a + b * size**-c), abs=2e-3)
    assert law(800) == pytest.approx(min(1.0, errors[-1]))


def test_fit_is_that_of_scipy() -> None:
    errors = 0.04 + 1.5 * SIZES**-0.5 + np.array([0.004, -0.003, 0.002, 0.001, -0.002])

    def law(size: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        return a + b * size**-c

    expected, _ = curve_fit(law, SIZES, errors, p0=(0.02, 1, 0.5), bounds=(0, [errors.min(), 9, 2]))
    found = fit_power_law(SIZES, errors)
    assert found(1600) == pytest.approx(law(1600, *expected), rel=1e-3)


@pytest.mark.parametrize("errors", [[0.0, 0, 0, 0, 0], [0.2] * 5, [0.1, 0.11, 0.12, 0.13, 0.14]])
def test_errors_that_do_not_fall_stay_where_they_are(errors: list[float]) -> None:
    found = fit_power_law(SIZES, errors)
    assert 0 <= found(1600) <= max(errors) + 1e-6
    assert found(1600) == pytest.approx(np.mean(errors), abs=0.025)


def test_interval_holds_the_error_that_comes() -> None:
    """Images of which some are harder than others: right from a number of examples on."""
    truth = PowerLaw(0.05, 1.2, 0.45)
    held = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        hardness = rng.random(600)
        errors = np.stack([hardness < truth(size) for size in SIZES])
        found = extrapolate(SIZES, errors, 1600, seed)
        held += found.low <= truth(1600) <= found.high
        assert found.low <= found.error <= found.high
        assert found.high - found.low < 0.08
    assert held >= 17


def test_same_seed_same_interval() -> None:
    errors = np.random.default_rng(0).random((5, 200)) < 0.2
    assert extrapolate(SIZES, errors, 1600, 3) == extrapolate(SIZES, errors, 1600, 3)
    assert extrapolate(SIZES, errors, 1600, 3) != extrapolate(SIZES, errors, 1600, 4)
