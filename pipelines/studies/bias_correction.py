"""Study: Adam with and without the correction of its bias towards 0."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.adam import RATE, train_with_adam
from pipelines.studies.experiments.digits import Digits
from pipelines.studies.statistics import mean_gain, mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, plain_axes

BETAS, USUAL = (0.9, 0.99, 0.999, 0.9999), 0.999
EPOCHS = 15
KINDS = {"with": True, "without": False}


def _measure(steps: Steps, effort: Effort) -> Numbers:
    def measure(seed: int) -> dict[str, Any]:
        return {
            f"{kind}, {beta:g}": train_with_adam(
                Digits(seed), beta, corrected=corrected, epochs=EPOCHS
            )
            for kind, corrected in KINDS.items()
            for beta in BETAS
        }

    seeds = [steps(f"seed {seed}", partial(measure, seed)) for seed in range(effort.seeds)]
    return {
        part: {name: [seed[name][part] for seed in seeds] for name in seeds[0]}
        for part in ("losses", "first_step")
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    def harm(beta: float) -> tuple[float, float]:
        ends = ([row[-1] for row in numbers["losses"][f"{kind}, {beta:g}"]] for kind in KINDS)
        corrected, plain = ends
        return mean_gain(plain, corrected)

    step = float(np.mean(numbers["first_step"][f"without, {USUAL:g}"]))
    usual, far, near = harm(USUAL), harm(BETAS[-1]), harm(BETAS[0])
    return [
        Check(f"without it, with β₂ of {USUAL:g}, the first step is more than twice the learning "
              "rate", f"{step:.2f} times", step > 2),
        Check(f"without it the training loss after {EPOCHS} epochs is higher with β₂ of "
              f"{USUAL:g}, the interval above 0", f"by {usual[0]:.4f} ± {usual[1]:.4f}",
              usual[0] - usual[1] > 0),
        Check(f"the harm is larger with β₂ of {BETAS[-1]:g} than of {BETAS[0]:g}, the intervals "
              "apart", f"{far[0]:.4f} ± {far[1]:.4f} against {near[0]:.4f} ± {near[1]:.4f}",
              far[0] - far[1] > near[0] + near[1]),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, right = figure.subplots(1, 2)
    for index, kind in enumerate(KINDS):
        means = [mean_interval([row[-1] for row in numbers["losses"][f"{kind}, {beta:g}"]])
                 for beta in BETAS]  # fmt: skip
        left.errorbar(range(len(BETAS)), [m for m, _ in means], [h for _, h in means], capsize=3,
                      label=f"{kind} bias correction", **line_style(index))  # fmt: skip
        for beta in (USUAL, BETAS[-1]):
            curve = np.mean(numbers["losses"][f"{kind}, {beta:g}"], axis=0)
            style = line_style(index + 2 * (beta == BETAS[-1]))
            right.semilogy(range(EPOCHS + 1), curve, label=f"{kind}, β₂ = {beta:g}", **style)
    left.set_xticks(range(len(BETAS)), [f"{beta:g}" for beta in BETAS])
    left.set_yscale("log")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9)
    plain_axes(left, "β₂, the memory of squared gradients",
               f"training loss after {EPOCHS} epochs (95 % interval)")  # fmt: skip
    plain_axes(right, f"epoch, at a learning rate of {RATE:g}", "training loss")


STUDY = Study(
    "bias_correction",
    "Without its bias correction Adam's first steps are too long, and training suffers the more "
    "the nearer β₂ is to 1",
    "Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980",
    _measure,
    _judge,
    _draw,
    figure_size=(10.5, 4.5),
)
