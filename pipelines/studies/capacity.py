"""Study: polynomials and networks from underfitting to overfitting."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.curve_fits import fit_polynomial, network_errors, sample
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import COLORS, draw_lines, plain_axes

DEGREES, RIDGE, POINTS = tuple(range(16)), 1e-3, 18
UNITS, ALPHA = (1, 2, 4, 8, 16, 64, 256), 0.1
"""Hidden units of the networks, and scikit-learn's strength of their L2 penalty."""


def _measure(steps: Steps, effort: Effort) -> Numbers:
    repetitions = 4 * effort.seeds

    def measure(seed: int) -> dict[str, Any]:
        x, y = sample(seed, POINTS)
        unseen, right = sample(seed + 10_000, 500)
        found: dict[str, Any] = {}
        for name, l2 in (("none", 0.0), ("ridge", RIDGE)):
            fits = [fit_polynomial(x, y, degree, l2) for degree in DEGREES]
            value = np.polynomial.legendre.legval
            found[name] = [[float(np.mean((value(a, fit) - b) ** 2)) for fit in fits]
                           for a, b in ((x, y), (unseen, right))]  # fmt: skip
        for name, l2 in (("networks", 0.0), ("networks, L2", ALPHA)):
            errors = [network_errors(x, y, unseen, right, units, seed, l2) for units in UNITS]
            found[name] = np.transpose(errors).tolist()
        return found

    seeds = [steps(f"seed {seed}", partial(measure, seed)) for seed in range(repetitions)]
    # Errors of wild polynomials differ by powers of ten, so medians.
    return {name: np.median([seed[name] for seed in seeds], axis=0).tolist() for name in seeds[0]}


def _judge(numbers: Numbers) -> Sequence[Check]:
    seen, unseen = numbers["none"]
    best = int(np.argmin(unseen))
    networks = numbers["networks"][1]
    return [
        Check("the error on the points falls with every degree",
              f"from {seen[0]:.3f} to {seen[-1]:.4f}", bool(np.all(np.diff(seen) < 1e-9))),
        Check("the error on others is least at a degree in between",
              f"{unseen[best]:.3f} at {best}, {unseen[0]:.3f} at 0, {unseen[-1]:.3f} at "
              f"{DEGREES[-1]}", 0 < best < DEGREES[-1]),
        Check("an L2 penalty at least halves the error of the highest degree",
              f"{numbers['ridge'][1][-1]:.3f} against {unseen[-1]:.3f}",
              numbers["ridge"][1][-1] < unseen[-1] / 2),
        Check("a network of one unit underfits, and one of 256 is worse than the best in between",
              ", ".join(f"{units}: {error:.3f}" for units, error in zip(UNITS, networks,
                                                                         strict=True)),
              min(networks[1:-1]) < min(networks[0], networks[-1])),
        Check("an L2 penalty lowers the error of 256 units",
              f"{numbers['networks, L2'][1][-1]:.3f} against {networks[-1]:.3f}",
              numbers["networks, L2"][1][-1] < networks[-1]),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, middle, right = figure.subplots(1, 3)
    x, y = sample(0, POINTS)
    grid = np.linspace(-1, 1, 200)
    left.plot(x, y, "o", color="black", label="points")
    for index, (degree, l2) in enumerate(((1, 0.0), (5, 0.0), (15, 0.0), (15, RIDGE))):
        curve = np.polynomial.legendre.legval(grid, fit_polynomial(x, y, degree, l2))
        label = f"degree {degree}" + (", L2" if l2 else "")
        left.plot(grid, curve, ("-", "--", ":", "-.")[index], color=COLORS[index], label=label)
    left.set_ylim(-2, 2)
    left.legend(frameon=False, fontsize=9)
    plain_axes(left, "x", "y")
    lines = {
        "its points": numbers["none"][0],
        "other points": numbers["none"][1],
        "other points, L2": numbers["ridge"][1],
    }
    draw_lines(middle, DEGREES, lines)
    plain_axes(middle, "degree of the polynomial", "mean squared error, median")
    curves = (*numbers["networks"], numbers["networks, L2"][1])
    draw_lines(right, UNITS, dict(zip(lines, curves, strict=True)))
    right.set_xscale("log", base=2)
    plain_axes(right, "hidden units of a network", "mean squared error, median")
    for axes in (middle, right):
        axes.set_yscale("log")


STUDY = Study(
    "capacity",
    "With too little capacity a model underfits, with too much it overfits; an L2 penalty helps",
    "Bishop, 2006, Pattern Recognition and Machine Learning, section 1.1; Geman et al., 1992, "
    "https://doi.org/10.1162/neco.1992.4.1.1",
    _measure,
    _judge,
    _draw,
    figure_size=(13.5, 4.5),
)
