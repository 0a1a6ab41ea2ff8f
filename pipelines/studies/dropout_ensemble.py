"""Study: a network with dropout as an ensemble of thinned networks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.digits import Digits
from pipelines.studies.experiments.dropout_masks import (
    means_of_masks,
    scaled_answers,
    total_variation,
)
from pipelines.studies.experiments.networks import network, trained_model
from pipelines.studies.statistics import mean_gain, mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import COLORS, line_style, log_ticks, plain_axes

MASKS = (1, 3, 10, 30, 100, 300)
_IMAGES = 200


def _measure(steps: Steps, effort: Effort) -> Numbers:
    spec = network(head={"hidden": (128, 128), "dropout": 0.5}, epochs=40)

    def measure(seed: int) -> dict[str, Any]:
        data = Digits(seed, train=_IMAGES, batch_size=20)
        model = trained_model(spec.model_copy(update={"seed": seed}), data)
        rows, labels = data.validation_rows, data.validation_labels
        scaled = scaled_answers(model, rows)
        means = list(means_of_masks(model, rows, MASKS))

        def accuracy(answers: Any) -> float:
            return float((answers.argmax(axis=1) == labels).mean())

        return {
            "distance": [total_variation(mean, scaled) for mean in means],
            "accuracy": [accuracy(mean) for mean in means],
            "scaled": accuracy(scaled),
        }

    seeds = [steps(f"seed {seed}", partial(measure, seed)) for seed in range(effort.seeds)]
    return {name: [seed[name] for seed in seeds] for name in seeds[0]}


def _judge(numbers: Numbers) -> Sequence[Check]:
    distances = np.mean(numbers["distance"], axis=0)
    one, many = ([row[place] for row in numbers["accuracy"]] for place in (0, -1))
    better, half = mean_gain(many, one)
    apart, around = mean_gain(numbers["scaled"], many)
    return [
        Check(f"the mean of {MASKS[-1]} masks is nearer to the scaled network than a quarter of "
              "the distance of one mask", f"{distances[-1]:.3f} against {distances[0]:.3f}",
              distances[-1] < distances[0] / 4),
        Check("their accuracies differ by less than 1 point, the interval included",
              f"{100 * apart:+.2f} ± {100 * around:.2f} points", abs(apart) + around < 0.01),
        Check("the mean is more accurate than one thinned network, the interval above 0",
              f"{100 * better:+.1f} ± {100 * half:.1f} points", better - half > 0),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, right = figure.subplots(1, 2)
    for axes, part, factor in ((left, "distance", 1), (right, "accuracy", 100)):
        means = [mean_interval(values) for values in zip(*numbers[part], strict=True)]
        axes.errorbar(MASKS, [factor * m for m, _ in means], [factor * h for _, h in means],
                      capsize=3, label="mean of thinned networks", **line_style(0))  # fmt: skip
        log_ticks(axes, MASKS)
    right.axhline(100 * float(np.mean(numbers["scaled"])), color=COLORS[4], linestyle="--",
                  label="scaled network")  # fmt: skip
    right.legend(frameon=False)
    plain_axes(left, "masks", "distance of its probabilities from\nthe scaled network's, 0 to 1")
    plain_axes(right, "masks", "validation accuracy, % (95 % interval)")


STUDY = Study(
    "dropout_ensemble",
    "A network with dropout is an ensemble: with scaled weights it answers as the mean of many "
    "thinned networks",
    "Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html",
    _measure,
    _judge,
    _draw,
)
