"""Study: gradients that vanish or explode with depth, and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.gradient_norms import BOUND, NETWORKS, gradient_norms
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import draw_lines, plain_axes

DEPTH, DEPTHS = 15, (2, 5, 10, 15, 20)
SHOWN = tuple(name for name in NETWORKS if name != "ReLU, 2 × He")
CLIPPED = {"plain": "not clipped", "value": "by value", "norm": "by norm",
           "global_norm": "by global norm"}  # fmt: skip


def _measure(steps: Steps, effort: Effort) -> Numbers:
    def measure(name: str, depth: int) -> dict[str, list[float]]:
        runs = [gradient_norms(NETWORKS[name], depth, seed) for seed in range(effort.seeds)]
        # Norms differ by factors, so their mean is geometric.
        return {
            kind: np.exp(np.log([np.maximum(run[kind], 1e-30) for run in runs]).mean(0)).tolist()
            for kind in runs[0]
        }

    return {
        name: {
            str(depth): steps(f"{name}, {depth} layers", partial(measure, name, depth))
            for depth in DEPTHS
        }
        for name in NETWORKS
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    first = {name: numbers[name][str(DEPTH)]["plain"][0] for name in NETWORKS}
    by_depth = [numbers["sigmoid, Glorot"][str(depth)]["plain"][0] for depth in DEPTHS]
    wild = numbers["ReLU, 2 × He"][str(DEPTH)]
    norms = [max(wild["norm"]), float(np.linalg.norm(wild["global_norm"]))]
    return [
        Check(f"with sigmoid, Glorot and {DEPTH} layers the first one's gradient is below 1e-6",
              f"{first['sigmoid, Glorot']:.1e}", first["sigmoid, Glorot"] < 1e-6),
        Check("it shrinks with every depth", ", ".join(f"{norm:.0e}" for norm in by_depth),
              bool(np.all(np.diff(by_depth) < 0))),
        Check("with ReLU and Glorot it is larger, and less than a tenth of that with He",
              f"{first['ReLU, Glorot']:.1e} and {first['ReLU, He']:.2f}",
              10 * first["sigmoid, Glorot"] < first["ReLU, Glorot"] < first["ReLU, He"] / 10),
        Check("batch normalization raises sigmoid's a thousandfold",
              f"to {first['sigmoid, Glorot, normalized']:.1e}",
              first["sigmoid, Glorot, normalized"] > 1000 * first["sigmoid, Glorot"]),
        Check("weights of twice He's size make gradients explode, above 100",
              f"{max(wild['plain']):.1e}", max(wild["plain"]) > 100),
        Check("each clipping bounds them as it says",
              f"norms up to {norms[0]:.3f}, together {norms[1]:.3f}; values up to "
              f"{max(wild['largest']):.3f}",
              max(*norms, *wild["largest"]) < BOUND + 0.001),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, middle, right = figure.subplots(1, 3)
    layers = range(1, DEPTH + 1)
    lines = {name: numbers[name][str(DEPTH)]["plain"] for name in SHOWN}
    draw_lines(left, layers, lines, legend=False)
    plain_axes(left, "hidden layer, from the input", "norm of the gradient before training",
               f"{DEPTH} layers")  # fmt: skip
    by_depth = {name: [numbers[name][str(depth)]["plain"][0] for depth in DEPTHS] for name in SHOWN}
    draw_lines(middle, DEPTHS, by_depth, legend=False)
    middle.set_xticks(DEPTHS)
    plain_axes(middle, "hidden layers of the network", "", "gradient of the first layer")
    wild = numbers["ReLU, 2 × He"][str(DEPTH)]
    clipped = {label: wild[kind] for kind, label in CLIPPED.items()}
    draw_lines(right, layers, clipped, legend=False)
    right.legend(frameon=False, fontsize=9, loc=(0.35, 0.6))
    plain_axes(right, "hidden layer, from the input", "", "exploding: ReLU, twice He's weights")
    for axes in (left, middle, right):
        axes.set_yscale("log")
    figure.legend(*left.get_legend_handles_labels(), frameon=False, fontsize=9, ncols=3,
                  loc="outside lower left")  # fmt: skip


STUDY = Study(
    "vanishing_gradients",
    "Gradients vanish in deep sigmoid networks; ReLU with He's weights, or batch normalization, "
    "keeps them; clipping bounds those that explode",
    "Glorot and Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html; Pascanu et al., "
    "2013, https://proceedings.mlr.press/v28/pascanu13.html",
    _measure,
    _judge,
    _draw,
    figure_size=(13.5, 5.2),
)
