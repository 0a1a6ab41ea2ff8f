"""Study: whether steadier inputs of the layers explain what batch normalization gains."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.watched_network import EPOCHS, KINDS, train_watched
from pipelines.studies.statistics import mean_gain
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import draw_lines, plain_axes


def _measure(steps: Steps, effort: Effort) -> Numbers:
    runs = {
        kind: [steps(f"{kind}, seed {s}", partial(train_watched, kind, s))
               for s in range(effort.seeds)]
        for kind in KINDS
    }  # fmt: skip
    return {
        part: {kind: [run[part] for run in runs[kind]] for kind in KINDS}
        for part in ("loss", "movement")
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    ends = {kind: [row[-1] for row in rows] for kind, rows in numbers["loss"].items()}
    moves = {kind: [float(np.mean(row)) for row in rows]
             for kind, rows in numbers["movement"].items()}  # fmt: skip
    without, normalized, shifted = KINDS
    gain, half = mean_gain(ends[without], ends[normalized])
    steadier, around = mean_gain(moves[without], moves[normalized])
    lost, spread = mean_gain(ends[shifted], ends[without])
    return [
        Check("normalized layers train faster: the loss is lower, the interval above 0",
              f"by {gain:.3f} ± {half:.3f}", gain - half > 0),
        Check("their inputs move less, the interval above 0",
              f"by {steadier:.2f} ± {around:.2f} standard deviations", steadier - around > 0),
        Check("there is such a gain, and it is gone if the inputs are made to move again: the loss "
              "is not below that without", f"{lost:+.3f} ± {spread:.3f} of it",
              gain - half > 0 and lost + spread > 0),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    for axes, (part, label) in zip(
        figure.subplots(1, 2),
        (("loss", "training loss"),
         ("movement", "movement of a unit's mean a step,\nstandard deviations")),
        strict=True,
    ):  # fmt: skip
        lines = {kind: np.mean(numbers[part][kind], axis=0) for kind in KINDS}
        draw_lines(axes, range(1, EPOCHS + 1), lines, legend=part == "loss")
        axes.set_yscale("log")
        plain_axes(axes, "epoch", label)


STUDY = Study(
    "covariate_shift",
    "Batch normalization works because it keeps the inputs of the layers from moving",
    "Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167; doubted by Santurkar et al., "
    "2018, https://arxiv.org/abs/1805.11604",
    _measure,
    _judge,
    _draw,
    figure_size=(10.5, 4.5),
)
