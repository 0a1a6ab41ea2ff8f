"""Study: paths of penalized weights, beside scikit-learn's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.linear_paths import KINDS, descend, solve, whole_gradient
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, log_ticks, plain_axes

# With less, the descent of L1 has not converged after the steps that a study has time for.
STRENGTHS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
MIDDLE = STRENGTHS.index(0.02)
_SHOWN = 12
"""Weights of the digit 0 whose paths are drawn: those that are largest at the left."""


def _measure(steps: Steps, effort: Effort) -> Numbers:
    def measure(seed: int) -> dict[str, Any]:
        data = whole_gradient(seed)
        ours = descend(data, STRENGTHS)
        theirs = {kind: [solve(data, kind, s) for s in STRENGTHS] for kind in KINDS}

        def difference(kind: str, place: int) -> float:
            a, b = ours[kind][place], theirs[kind][place]
            return float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(b)), 0.01)

        found: dict[str, Any] = {
            "difference": {k: [difference(k, i) for i in range(len(STRENGTHS))] for k in KINDS},
            "zeros": {k: [float((kernel == 0).mean()) for kernel in ours[k]] for k in KINDS},
            "expected zeros": {
                k: [float((kernel == 0).mean()) for kernel in theirs[k]] for k in KINDS
            },
        }
        if not seed:
            largest = np.argsort(-np.abs(ours["l2"][0][:, 0]))[:_SHOWN]
            for name, kernels in (("paths", ours), ("expected paths", theirs)):
                found[name] = {
                    k: np.round([kernel[largest, 0] for kernel in kernels[k]], 5).T.tolist()
                    for k in KINDS
                }
        return found

    seeds = [steps(f"seed {seed}", partial(measure, seed)) for seed in range(effort.seeds)]
    parts = ("difference", "zeros", "expected zeros")
    return {
        **{part: {k: [seed[part][k] for seed in seeds] for k in KINDS} for part in parts},
        **{name: seeds[0][name] for name in ("paths", "expected paths")},
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    checks = []
    for kind in KINDS:
        worst = float(np.max(numbers["difference"][kind]))
        checks.append(
            Check(
                f"{kind}: the weights differ from scikit-learn's by less than 2 % of their norm",
                f"at most {worst:.2%}",
                worst < 0.02,
            )
        )
    zeros = {kind: np.mean(numbers["zeros"][kind], axis=0) for kind in KINDS}
    expected = np.mean(numbers["expected zeros"]["l1"], axis=0)
    apart = float(np.abs(zeros["l1"] - expected).max())
    return [
        *checks,
        Check("L1 sets more weights to exactly 0 the stronger it is, within 2 points of "
              "scikit-learn", f"{zeros['l1'][0]:.0%} to {zeros['l1'][-1]:.0%}, {apart:.1%} apart",
              bool(np.all(np.diff(zeros["l1"]) >= 0)) and zeros["l1"][-1] > zeros["l1"][0]
              and apart < 0.02),
        Check("L2 sets none to 0", f"{zeros['l2'].max():.0%}", zeros["l2"].max() == 0),
        Check(f"the elastic net keeps more weights than L1 at {STRENGTHS[MIDDLE]:g}",
              f"{1 - zeros['elastic_net'][MIDDLE]:.0%} against {1 - zeros['l1'][MIDDLE]:.0%}",
              zeros["elastic_net"][MIDDLE] < zeros["l1"][MIDDLE]),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    *panels, last = figure.subplots(1, 4)
    largest = 1.1 * max(np.abs(numbers["paths"][kind]).max() for kind in KINDS)
    for axes, kind in zip(panels, KINDS, strict=True):
        for ours, theirs in zip(
            numbers["paths"][kind], numbers["expected paths"][kind], strict=True
        ):
            axes.plot(STRENGTHS, ours, color="#0072b2", linewidth=1.2)
            axes.plot(STRENGTHS, theirs, "o", color="black", markersize=3)
        axes.set_ylim(-largest, largest)
        plain_axes(axes, "strength λ", "", kind.replace("_", " "))
    panels[0].set_ylabel("weights of the digit 0;\ndots: scikit-learn")
    for index, kind in enumerate(KINDS):
        zeros = 100 * np.mean(numbers["zeros"][kind], axis=0)
        last.plot(STRENGTHS, zeros, label=kind.replace("_", " "), **line_style(index))
    last.legend(frameon=False, fontsize=9)
    plain_axes(last, "strength λ", "weights that are exactly 0, %")
    for axes in (*panels, last):
        log_ticks(axes, STRENGTHS[::2])


STUDY = Study(
    "weight_paths",
    "L1 sets weights to exactly 0 and L2 only shrinks them; the elastic net is between them",
    "Tibshirani, 1996, https://www.jstor.org/stable/2346178; Zou and Hastie, 2005, "
    "https://doi.org/10.1111/j.1467-9868.2005.00503.x",
    _measure,
    _judge,
    _draw,
    figure_size=(14.0, 4.2),
)
