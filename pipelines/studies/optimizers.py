"""Study: optimizers on two landscapes, and on digits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.landscapes import LANDSCAPES, RATES, STEPS, rosenbrock, walk
from pipelines.studies.experiments.networks import last_values, mean_curve, network, train_settings
from pipelines.studies.statistics import mean_gain
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, plain_axes

NAMES = ("gradient_descent", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
ON_LANDSCAPES = tuple(RATES)
"""Of whole gradients, as landscapes have them, gradient descent and SGD take the same steps."""


def _measure(steps: Steps, effort: Effort) -> Numbers:
    paths = {
        place: {
            name: steps(f"{place}, {name}", partial(walk, name, shape, start))
            for name in ON_LANDSCAPES
        }
        for place, (shape, start) in LANDSCAPES.items()
    }
    # Each with the learning rate that is usual for it.
    settings = {
        name: network(head={"hidden": (64,) * 6}, optimizer={"name": name, "learning_rate": None})
        for name in NAMES
    }
    curves = train_settings(steps, settings, effort.seeds, name="digits, ")
    return {
        "paths": paths,
        "digits": {name: last_values(curves, name, "loss") for name in NAMES},
        "curves": {name: mean_curve(curves, name, "loss") for name in NAMES},
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    ends = {
        place: {name: runs[name]["values"][-1] for name in ON_LANDSCAPES}
        for place, runs in numbers["paths"].items()
    }

    def compare(place: str, better: str, worse: str) -> Check:
        a, b = ends[place][better], ends[place][worse]
        return Check(
            f"{better} is lower than {worse} after {STEPS} steps on {place}",
            f"{a:.1e} against {b:.1e}",
            a < b,
        )

    def on_digits(better: str, worse: str, because: str) -> Check:
        gap, half = mean_gain(numbers["digits"][worse], numbers["digits"][better])
        return Check(
            f"{because}: the loss of {worse} on digits is above that of {better}, its interval "
            "above 0",
            f"by {gap:.3f} ± {half:.3f}",
            gap - half > 0,
        )

    valley, quadratic = LANDSCAPES
    return [
        compare(quadratic, "momentum", "sgd"),
        compare(valley, "momentum", "sgd"),
        compare(valley, "nesterov", "momentum"),
        on_digits("momentum", "sgd", "momentum is faster on a network, too"),
        on_digits("sgd", "gradient_descent", "mini-batches are faster than whole gradients"),
        on_digits("rmsprop", "adagrad", "AdaGrad stops too early"),
    ]


def _draw(figure: Any, numbers: Numbers) -> None:
    left, middle, right = figure.subplots(1, 3)
    places = list(numbers["paths"].items())
    styles = {name: {**line_style(index), "marker": ""} for index, name in enumerate(NAMES)}
    x, y = np.meshgrid(np.linspace(-2, 2, 200), np.linspace(-1, 2.5, 200))
    heights = np.log10(rosenbrock(x, y) + 1e-3)
    left.contour(x, y, heights, levels=12, colors="#c8c8c8", linewidths=0.8)
    for name in ON_LANDSCAPES:
        left.plot(*np.array(places[0][1][name]["path"]).T, **styles[name])
        values = np.maximum(places[1][1][name]["values"], 1e-12)
        middle.semilogy(values, **styles[name])
    left.plot(1, 1, "k*", markersize=12)
    left.set_xlim(-2, 2)
    left.set_ylim(-1, 2.5)
    plain_axes(left, "first weight", "second weight", "paths in Rosenbrock's valley")
    plain_axes(middle, "step", "value", places[1][0])
    for name, losses in numbers["curves"].items():
        right.semilogy(range(1, len(losses) + 1), losses, label=name, **styles[name])
    plain_axes(right, "epoch", "training loss", "six layers on digits")
    figure.legend(frameon=False, loc="outside lower center", ncols=len(NAMES))


STUDY = Study(
    "optimizers",
    "Momentum beats plain descent in narrow valleys, Nesterov beats momentum, and AdaGrad stops "
    "too early",
    "Sutskever et al., 2013, https://proceedings.mlr.press/v28/sutskever13.html; Duchi et al., "
    "2011, https://jmlr.org/papers/v12/duchi11a.html",
    _measure,
    _judge,
    _draw,
    figure_size=(13.5, 4.8),
)
