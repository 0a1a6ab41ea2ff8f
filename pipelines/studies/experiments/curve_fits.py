"""Fits of a noisy sine: polynomials, and networks of two layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

NOISE = 0.2


def sample(seed: int, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns points of sin(πx) with noise, x in −1 to 1."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, count)
    return x, np.sin(np.pi * x) + NOISE * rng.normal(size=count)


def fit_polynomial(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], degree: int, l2: float
) -> npt.NDArray[np.float64]:
    """Returns the coefficients in Legendre's basis that minimize Σ(y − p(x))² / n + l2·Σc².

    Args:
        x: float64 [points], in −1 to 1.
        y: float64 [points].
        degree: Degree of the polynomial.
        l2: Strength of the penalty, at least 0.
    """
    basis = np.polynomial.legendre.legvander(x, degree)
    rows = np.vstack([basis, np.sqrt(l2 * len(x)) * np.eye(degree + 1)])
    return np.linalg.lstsq(rows, np.concatenate([y, np.zeros(degree + 1)]), rcond=None)[0]


def network_errors(
    x: Any, y: Any, unseen: Any, right: Any, units: int, seed: int, l2: float = 0.0
) -> list[float]:
    """Returns the mean squared errors of two layers by scikit-learn: on x, and on unseen points.

    Args:
        x: The points that are fitted, [points].
        y: Their values.
        unseen: Other points, [others].
        right: Their values.
        units: Hidden units.
        seed: Seed of the weights.
        l2: scikit-learn's strength of the penalty.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    network = MLPRegressor(
        hidden_layer_sizes=(units,),
        activation="tanh",
        solver="lbfgs",
        alpha=l2,
        max_iter=500,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(x[:, None], y)
    return [float(np.mean((network.predict(a[:, None]) - b) ** 2)) for a, b in
            ((x, y), (unseen, right))]  # fmt: skip
