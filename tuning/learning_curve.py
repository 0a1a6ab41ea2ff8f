"""Learning curves: how an error falls with the number of examples, and what more would bring.

The law is error(n) = a + b · n^-c: what no number of examples removes, and a power of their number
(Cortes et al., 1994, Learning Curves: Asymptotic Values and Rate of Convergence, NeurIPS 6;
Hestness et al., 2017, https://arxiv.org/abs/1712.00409).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

_NUM_RESAMPLES = 1000
"""Sets of images that an interval is made of."""

_POWERS = np.arange(0.002, 2.001, 0.002)
"""Values of c that are tried."""


@dataclass(frozen=True)
class PowerLaw:
    """error(n) = a + b · n^-c.

    Args:
        a: What remains, 0 to 1.
        b: Factor, 0 or more.
        c: Power, above 0, at most 2.
    """

    a: float
    b: float
    c: float

    def __call__(self, size: float) -> float:
        """Returns the error with `size` examples, 0 to 1.

        Example:
            >>> round(PowerLaw(0.02, 1.0, 0.5)(400), 3)
            0.07
        """
        return float(min(1.0, self.a + self.b * size**-self.c))


@dataclass(frozen=True)
class Extrapolation:
    """An error with more examples than there are.

    Args:
        law: Fitted to all images.
        error: With so many examples.
        low: Of a 95 % interval, over which images there happened to be.
        high: Of it.
    """

    law: PowerLaw
    error: float
    low: float
    high: float


def fit_power_law(sizes: npt.ArrayLike, errors: npt.ArrayLike) -> PowerLaw:
    """Fits the law by least squares, with a and b of 0 or more.

    Args:
        sizes: Numbers of examples, [S], S at least 3.
        errors: The error with each, [S].

    Example:
        >>> law = fit_power_law([50, 100, 200, 400], [0.161, 0.12, 0.091, 0.07])
        >>> round(law.a, 2), round(law.c, 1)
        (0.02, 0.5)
    """
    (parts,) = _fit_power_laws(sizes, np.asarray(errors, np.float64)[np.newaxis])
    return PowerLaw(*parts.tolist())


def _fit_power_laws(sizes: npt.ArrayLike, errors: Doubles) -> Doubles:
    """Fits a law to each row of [R, S]; returns a, b and c of each, [R, 3].

    For a given c the law is linear, and its two non-negative parts have a closed form.
    """
    n = np.asarray(sizes, np.float64)
    largest = float(n.max())
    best = np.full(len(errors), np.inf)
    found = np.zeros((len(errors), 3))
    mean = errors.mean(axis=1)
    for c in _POWERS:
        x = (n / largest) ** -c
        spread = x - x.mean()
        b = errors @ spread / (spread @ spread)
        a = mean - b * x.mean()
        # At a bound the other part is fitted alone.
        a, b = np.where(a < 0, 0, a), np.where(a < 0, errors @ x / (x @ x), b)
        a, b = np.where(b < 0, mean, a), np.where(b < 0, 0, b)
        misses = np.square(a[:, np.newaxis] + b[:, np.newaxis] * x - errors).sum(axis=1)
        better = misses < best - 1e-15
        best = np.where(better, misses, best)
        found[better] = np.stack([a, b * largest**c, np.full(len(a), c)], axis=1)[better]
    return found


def extrapolate(
    sizes: npt.ArrayLike, errors: npt.NDArray[np.floating], size: float, seed: int
) -> Extrapolation:
    """Extrapolates a learning curve, with an interval by resampling the images.

    Args:
        sizes: Numbers of examples, [S], S at least 3.
        errors: Of N images with each number of examples, [S, N], 0 to 1: shares of the draws of
            examples after which the image was wrong.
        size: How many examples to ask for.
        seed: Of the resampling.
    """
    values = np.asarray(errors, np.float64)
    count = values.shape[1]
    law = fit_power_law(sizes, values.mean(axis=1))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), _NUM_RESAMPLES)
    laws = _fit_power_laws(sizes, (drawn @ values.T) / count)
    found = [PowerLaw(*parts)(size) for parts in laws.tolist()]
    low, high = np.quantile(found, (0.025, 0.975))
    # The fit is biased by its bounds; what is expected lies in its own interval.
    error = law(size)
    return Extrapolation(law, error, float(min(low, error)), float(max(high, error)))
