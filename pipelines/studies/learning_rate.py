"""Study: learning rates that are too small, right and too large, and schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.studies.experiments.networks import last_values, mean_curve, network, train_settings
from pipelines.studies.statistics import mean_gain
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import COLORS, draw_lines, legend_above, plain_axes

RATES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
SCHEDULES = ("constant", "step", "reduce_on_plateau", "exponential", "cosine")
_EPOCHS = 20


def _measure(steps: Steps, effort: Effort) -> Numbers:
    by_rate = {
        f"{rate:g}": network(optimizer={"name": "momentum", "learning_rate": rate})
        for rate in RATES
    }
    rates = train_settings(steps, by_rate, effort.seeds, name="rates, ")
    by_schedule = {
        name: network(
            optimizer={"name": "momentum", "learning_rate": 0.05}, schedule={"name": name}
        )
        for name in SCHEDULES
    }
    schedules = train_settings(steps, by_schedule, effort.seeds, name="schedules, ")
    return {
        "losses": {name: mean_curve(rates, name, "loss") for name in by_rate},
        "accuracy": {
            name: [epochs[-1]["val_accuracy"] if len(epochs) == _EPOCHS else 0.0
                   for epochs in rates[name]]
            for name in by_rate
        },
        "schedules": {name: last_values(schedules, name, "val_loss") for name in SCHEDULES},
    }  # fmt: skip


def _judge(numbers: Numbers) -> Sequence[Check]:
    accuracy = {name: float(np.mean(values)) for name, values in numbers["accuracy"].items()}
    best = max(accuracy, key=lambda name: accuracy[name])
    slow, wild = accuracy[f"{RATES[0]:g}"], accuracy[f"{RATES[-1]:g}"]
    loss = numbers["schedules"]

    def compare(better: str, worse: str) -> Check:
        gain, half = mean_gain(loss[worse], loss[better])
        return Check(
            f"the validation loss by {better} is below that by {worse}, its interval above 0",
            f"by {gain:.4f} ± {half:.4f}",
            gain - half > 0,
        )

    return [
        Check("the smallest rate is 10 points behind the best after 20 epochs",
              f"{100 * slow:.1f} against {100 * accuracy[best]:.1f} % at {best}",
              accuracy[best] - slow > 0.1),
        Check("the largest one is, too, or diverges", f"{100 * wild:.1f} %",
              accuracy[best] - wild > 0.1),
        compare("exponential", "reduce_on_plateau"),
        compare("reduce_on_plateau", "step"),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, right = figure.subplots(1, 2)
    curves = {name: np.clip(losses, 1e-4, 10) for name, losses in numbers["losses"].items()}
    for index, (name, losses) in enumerate(curves.items()):
        draw_lines(left, range(1, len(losses) + 1), {name: losses}, legend=False)
        line = left.lines[-1]
        line.set_color(COLORS[index])
        line.set_linestyle(("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))[index])
        line.set_marker(("o", "s", "^", "D", "v", "P")[index])
    left.set_yscale("log")
    legend_above(left, 6)
    plain_axes(left, "epoch; each line a learning rate", "training loss")
    losses = numbers["schedules"]
    means = [mean_gain(losses[name], losses["constant"]) for name in SCHEDULES]
    places = range(len(SCHEDULES))
    right.errorbar(places, [m for m, _ in means], [h for _, h in means], fmt="o", capsize=4,
                   color=COLORS[0])  # fmt: skip
    right.axhline(0, color=COLORS[7], linewidth=1)
    right.set_xticks(list(places), [name.replace("_on_", "_on_\n") for name in SCHEDULES])
    plain_axes(right, "schedule", "validation loss, against a constant rate\n(95 % interval)")


STUDY = Study(
    "learning_rate",
    "A learning rate can be too small and too large; an exponential schedule is better than one "
    "by performance, and that than fixed steps",
    "Senior et al., 2013, https://doi.org/10.1109/ICASSP.2013.6638963",
    _measure,
    _judge,
    _draw,
    figure_size=(11.0, 4.5),
)
