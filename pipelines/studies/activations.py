"""Study: which activation of the hidden layers is best, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.digits import Digits
from pipelines.studies.experiments.networks import last_values, network, train_settings
from pipelines.studies.experiments.timing import time_activation
from pipelines.studies.statistics import mean_gain, mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import COLORS, legend_above, plain_axes

_ORDER = ("elu", "leaky_relu", "rrelu", "prelu", "relu", "tanh", "sigmoid")
_INITIALIZERS = {"tanh": "glorot_normal", "sigmoid": "glorot_normal"}
_FEW, _MANY = 100, 1200


def _networks() -> dict[str, Any]:
    deep = {"hidden": (64,) * 5}
    return {
        name: network(
            head={**deep, "activation": name, "initializer": _INITIALIZERS.get(name, "he_normal")}
        )
        for name in _ORDER
    }


def _measure(steps: Steps, effort: Effort) -> Numbers:
    few, many = (
        train_settings(
            steps,
            _networks(),
            effort.seeds,
            partial(Digits, train=count, batch_size=20),
            name=f"{count} images, ",
        )
        for count in (_FEW, _MANY)
    )
    return {
        "few": {name: last_values(few, name) for name in _ORDER},
        "many": {name: last_values(many, name) for name in _ORDER},
        "time": {name: steps(f"time of {name}", partial(time_activation, name)) for name in _ORDER},
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    def compare(better: str, worse: str, images: str = "many") -> Check:
        gain, half = mean_gain(numbers[images][better], numbers[images][worse])
        count = {"few": _FEW, "many": _MANY}[images]
        return Check(
            f"{better} beats {worse} on {count} images, its interval above 0",
            f"{100 * gain:+.1f} ± {100 * half:.1f} points",
            gain - half > 0,
        )

    def shift(name: str, best_on: str) -> Check:
        few, many = (mean_gain(numbers[n][name], numbers[n]["relu"])[0] for n in ("few", "many"))
        more, less = (few, many) if best_on == "few" else (many, few)
        counts = (_FEW, _MANY) if best_on == "few" else (_MANY, _FEW)
        return Check(
            f"{name} gains more over relu on {counts[0]} images than on {counts[1]}",
            f"{100 * more:+.1f} against {100 * less:+.1f} points",
            more > less,
        )

    time_of = numbers["time"]
    return [
        compare("elu", "leaky_relu"),
        compare("leaky_relu", "relu"),
        compare("relu", "tanh"),
        compare("tanh", "sigmoid"),
        compare("rrelu", "relu", "few"),
        shift("rrelu", "few"),
        compare("prelu", "relu", "many"),
        shift("prelu", "many"),
        Check("leaky_relu is faster than elu",
              f"{time_of['leaky_relu']:.2f} against {time_of['elu']:.2f} µs a thousand units",
              time_of["leaky_relu"] < time_of["elu"]),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    axes, times = figure.subplots(1, 2, width_ratios=(3, 1))
    places = np.arange(len(_ORDER))
    for offset, (images, count), color, hatch in (
        (-0.2, ("few", _FEW), COLORS[5], "//"),
        (0.2, ("many", _MANY), COLORS[0], ""),
    ):
        means = [mean_interval(numbers[images][name]) for name in _ORDER]
        axes.bar(
            places + offset, [100 * mean for mean, _ in means], 0.38, color=color, hatch=hatch,
            yerr=[100 * half for _, half in means], label=f"{count} training images",
        )  # fmt: skip
    axes.set_xticks(places, _ORDER, rotation=20)
    legend_above(axes)
    plain_axes(axes, "", "validation accuracy, % (95 % interval)")
    times.barh(places, [numbers["time"][name] for name in _ORDER], color=COLORS[7])
    times.set_yticks(places, _ORDER)
    times.invert_yaxis()
    plain_axes(times, "µs for a thousand units", "")


STUDY = Study(
    "activations",
    "ELU is better than the leaky ReLUs, these than ReLU, ReLU than tanh, and tanh than sigmoid",
    "Clevert et al., 2016, https://arxiv.org/abs/1511.07289; Xu et al., 2015, "
    "https://arxiv.org/abs/1505.00853",
    _measure,
    _judge,
    _draw,
    figure_size=(11.0, 4.5),
)
