"""Study: backpropagation by hand gives the gradients of automatic differentiation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.two_layers import (
    automatic_gradients,
    finite_differences,
    gradients_by_hand,
    problem,
    relative_error,
)
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, plain_axes

STEPS = tuple(10.0**-k for k in range(1, 13))
"""Step sizes of the finite differences."""


def _measure(steps: Steps, effort: Effort) -> Numbers:
    def compare(seed: int) -> dict[str, Any]:
        weights, x, targets = problem(seed)
        by_hand = gradients_by_hand(weights, x, targets)
        differences = (finite_differences(weights, x, targets, step) for step in STEPS)
        return {
            "automatic": relative_error(by_hand, automatic_gradients(weights, x, targets)),
            "differences": [relative_error(found, by_hand) for found in differences],
        }

    seeds = [steps(f"seed {seed}", partial(compare, seed)) for seed in range(effort.seeds)]
    return {
        "automatic": max(seed["automatic"] for seed in seeds),
        "differences": np.max([seed["differences"] for seed in seeds], axis=0).tolist(),
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    best = min(numbers["differences"])
    return [
        Check("the chain rule differs from automatic differentiation by less than 1e-12",
              f"{numbers['automatic']:.1e}", numbers["automatic"] < 1e-12),
        Check("and from finite differences at their best step by less than 1e-8", f"{best:.1e}",
              best < 1e-8),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    axes = figure.subplots()
    axes.loglog(STEPS, numbers["differences"], label="finite differences", **line_style(0))
    axes.axhline(max(numbers["automatic"], 1e-17), label="automatic differentiation",
                 color="black", linestyle="--")  # fmt: skip
    axes.legend(frameon=False)
    plain_axes(axes, "step of the finite differences", "relative error of the gradient")


STUDY = Study(
    "backpropagation",
    "The chain rule by hand gives the gradients of automatic differentiation",
    "Rumelhart et al., 1986, https://doi.org/10.1038/323533a0",
    _measure,
    _judge,
    _draw,
    figure_size=(7.5, 4.5),
)
