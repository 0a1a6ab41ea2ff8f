"""Study: pretraining without labels, where few images have one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from pipelines.studies.experiments.digits import Digits
from pipelines.studies.experiments.unlabeled_layers import (
    autoencoder_layers,
    boltzmann_layers,
    random_layers,
    tuned_accuracy,
)
from pipelines.studies.statistics import mean_gain, mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, log_ticks, plain_axes

COUNTS, UNLABELED = (20, 50, 200, 800), 1200
STARTS = ("from scratch", "autoencoder", "Boltzmann machines")


def _measure(steps: Steps, effort: Effort) -> Numbers:
    def measure(seed: int) -> dict[str, list[float]]:
        data = Digits(seed, train=UNLABELED, prepare=lambda shown, rows: rows)
        layers = {
            "from scratch": random_layers(seed),
            "autoencoder": autoencoder_layers(data.rows, seed),
            "Boltzmann machines": boltzmann_layers(data.rows, seed),
        }
        return {
            name: [tuned_accuracy(start, data, count) for count in COUNTS]
            for name, start in layers.items()
        }

    seeds = [steps(f"seed {seed}", partial(measure, seed)) for seed in range(effort.seeds)]
    return {name: [seed[name] for seed in seeds] for name in STARTS}


def _judge(numbers: Numbers) -> Sequence[Check]:
    def gain(name: str, place: int) -> tuple[float, float]:
        return mean_gain(*([row[place] for row in numbers[n]] for n in (name, STARTS[0])))

    checks = []
    for name in STARTS[1:]:
        few, half = gain(name, 0)
        many, around = gain(name, len(COUNTS) - 1)
        checks += [
            Check(f"{name}: with {COUNTS[0]} labels better than from scratch, the interval above 0",
                  f"{100 * few:+.1f} ± {100 * half:.1f} points", few - half > 0),
            Check(f"{name}: the gain is smaller with {COUNTS[-1]} labels",
                  f"{100 * many:+.1f} ± {100 * around:.1f} points", many < few),
        ]  # fmt: skip
    return checks


def _draw(figure: Any, numbers: Numbers) -> None:
    axes = figure.subplots()
    for index, name in enumerate(STARTS):
        means = [mean_interval([row[place] for row in numbers[name]]) for place in range(4)]
        axes.errorbar(COUNTS, [100 * m for m, _ in means], [100 * h for _, h in means],
                      label=name, capsize=3, **line_style(index))  # fmt: skip
    log_ticks(axes, COUNTS)
    axes.legend(frameon=False)
    plain_axes(
        axes, f"labels; {UNLABELED:,} images have none", "validation accuracy, % (95 % interval)"
    )


STUDY = Study(
    "pretraining",
    "Pretraining without labels helps where few images have one",
    "Hinton et al., 2006, https://doi.org/10.1162/neco.2006.18.7.1527; Erhan et al., 2010, "
    "https://jmlr.org/papers/v11/erhan10a.html",
    _measure,
    _judge,
    _draw,
    figure_size=(8.0, 4.8),
)
