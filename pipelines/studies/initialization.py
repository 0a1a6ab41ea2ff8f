"""Study: what ten layers make of a signal, by initializer and activation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.signals import (
    EDGES,
    LAYERS,
    describe,
    forward,
    symmetric_columns,
)
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study

_STARTS = {
    "N(0, 1)": ("normal", 1.0),
    "N(0, 0.01²)": ("normal", 0.01),
    "LeCun": ("lecun_normal", 0.0),
    "Glorot": ("glorot_normal", 0.0),
    "He": ("he_normal", 0.0),
}
_ACTIVATIONS = ("sigmoid", "tanh", "relu", "elu")


def _measure(steps: Steps, effort: Effort) -> Numbers:
    def through(start: str, activation: str) -> list[dict[str, float]]:
        runs = [
            [describe(activation, layer) for layer in forward(*_STARTS[start], activation, seed)]
            for seed in range(effort.seeds)
        ]
        return [
            {name: np.mean([run[i][name] for run in runs], axis=0).round(9).tolist()
             for name in runs[0][0]}
            for i in range(LAYERS)
        ]  # fmt: skip

    return {
        "layers": {
            activation: {
                start: steps(f"{activation}, {start}", partial(through, start, activation))
                for start in _STARTS
            }
            for activation in _ACTIVATIONS
        },
        "symmetric": steps("equal weights", symmetric_columns),
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    layers = numbers["layers"]
    last = {a: {s: layers[a][s][-1] for s in _STARTS} for a in layers}
    wide = [last[a]["N(0, 1)"]["saturated"] for a in ("sigmoid", "tanh")]
    narrow = max(last[a]["N(0, 0.01²)"]["spread"] for a in last)
    kept = last["relu"]["He"]["std"] / layers["relu"]["He"][0]["std"]
    lost = last["relu"]["Glorot"]["std"] / layers["relu"]["Glorot"][0]["std"]
    tanh = last["tanh"]["Glorot"]["spread"]
    return [
        Check("N(0, 1) saturates half of sigmoid's and tanh's last outputs",
              f"{wide[0]:.0%} and {wide[1]:.0%}", min(wide) > 0.5),
        Check("N(0, 0.01²) leaves no unit a spread above 0.001", f"{narrow:.1e}", narrow < 1e-3),
        Check("Glorot keeps the spread of tanh's units above 0.1", f"{tanh:.2f}", tanh > 0.1),
        Check("He keeps ReLU's spread within a factor of 2, Glorot loses more than that",
              f"× {kept:.2f} and × {lost:.3f}", 0.5 < kept < 2 and lost < 0.5),
        Check("units that start equal stay equal", f"they differ by {numbers['symmetric']:.1g}",
              numbers["symmetric"] < 1e-9),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    grid = figure.subplots(len(_ACTIVATIONS), len(_STARTS), sharex=True, sharey=True)
    for row, activation in zip(grid, _ACTIVATIONS, strict=True):
        for axes, start in zip(row, _STARTS, strict=True):
            layers = numbers["layers"][activation][start]
            shares = np.transpose([layer["histogram"] for layer in layers])
            axes.imshow(
                np.sqrt(shares), cmap="gray_r", vmin=0, vmax=1, aspect="auto", origin="lower",
                extent=(0.5, LAYERS + 0.5, EDGES[0], EDGES[-1]),
            )  # fmt: skip
            last = layers[-1]
            part, share = ("dead", last["dead"]) if activation == "relu" else (
                "saturated", last["saturated"]
            )  # fmt: skip
            text = f"spread {last['spread']:.1g}"
            if activation != "elu":
                text += f"\n{share:.0%} {part}"
            axes.text(0.97, 0.04, text, transform=axes.transAxes, ha="right", va="bottom",
                      fontsize=8)  # fmt: skip
            axes.set_xticks((1, 5, 10))
        row[0].set_ylabel(f"{activation}:\noutput")
    for axes, start in zip(grid[0], _STARTS, strict=True):
        axes.set_title(start, fontsize=11)
    figure.supxlabel(
        "layer (darker: more of the outputs; those beyond ±3 are at the edge)", fontsize=11
    )


STUDY = Study(
    "initialization",
    "The initial weights decide whether a signal survives ten layers: Glorot's for tanh, He's "
    "for ReLU",
    "Glorot and Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html; He et al., 2015, "
    "https://arxiv.org/abs/1502.01852",
    _measure,
    _judge,
    _draw,
    figure_size=(11.5, 7.5),
)
