"""Study: what batch normalization allows, and what it costs in prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.digits import NUM_CLASSES
from pipelines.studies.experiments.networks import Curves, network, train_settings
from pipelines.studies.experiments.timing import time_prediction
from pipelines.studies.statistics import mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, plain_axes
from zoo.heads.head import HeadConfig

DEVIATIONS = (0.001, 0.01, 0.05, 0.2, 1.0)
RATES = (0.001, 0.01, 0.1, 1.0)
_DEEP: Mapping[str, Any] = {"hidden": (64,) * 6}


def final_accuracy(curves: Curves, setting: str, epochs: int) -> list[float]:
    """Returns the validation accuracy at the end for each seed; that of chance if it diverged.

    Args:
        curves: The epochs by setting.
        setting: The setting.
        epochs: Epochs of one that did not diverge.
    """
    return [
        rows[-1]["val_accuracy"] if len(rows) == epochs else 1 / NUM_CLASSES
        for rows in curves[setting]
    ]


def _measure(steps: Steps, effort: Effort) -> Numbers:
    kinds = {"with": True, "without": False}
    starts = {
        f"{kind}, {deviation:g}": network(
            head={**_DEEP, "initializer": "normal", "initializer_stddev": deviation,
                  "batch_norm": on})
        for kind, on in kinds.items()
        for deviation in DEVIATIONS
    }  # fmt: skip
    rates = {
        f"{kind}, {rate:g}": network(
            head={**_DEEP, "batch_norm": on}, optimizer={"learning_rate": rate}
        )
        for kind, on in kinds.items()
        for rate in RATES
    }

    def head(normalized: bool) -> HeadConfig:
        return HeadConfig(**_DEEP, activation="elu", batch_norm=normalized, dropout=0.0)

    by_start = train_settings(steps, starts, effort.seeds, name="weights, ")
    by_rate = train_settings(steps, rates, effort.seeds, name="rates, ")
    return {
        "weights": {name: final_accuracy(by_start, name, 20) for name in starts},
        "rates": {name: final_accuracy(by_rate, name, 20) for name in rates},
        "time": {
            kind: steps(f"time {kind}", partial(time_prediction, head(on)))
            for kind, on in kinds.items()
        },
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    def usable(part: str, kind: str, values: Sequence[float]) -> int:
        return sum(np.mean(numbers[part][f"{kind}, {value:g}"]) > 0.85 for value in values)

    weights = [usable("weights", kind, DEVIATIONS) for kind in ("with", "without")]
    rates = [usable("rates", kind, RATES) for kind in ("with", "without")]
    slower = numbers["time"]["with"] / numbers["time"]["without"]
    return [
        Check(f"with it more of {len(DEVIATIONS)} spreads of initial weights reach 85 %",
              f"{weights[0]} against {weights[1]}", weights[0] > weights[1]),
        Check(f"with it more of {len(RATES)} learning rates reach 85 %",
              f"{rates[0]} against {rates[1]}", rates[0] > rates[1]),
        Check("prediction takes longer with it, by more than 5 %", f"× {slower:.2f}",
              slower > 1.05),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    parts = ("weights", DEVIATIONS, "standard deviation of the initial weights"), (
        "rates", RATES, "learning rate"
    )  # fmt: skip
    for axes, (part, values, label) in zip(figure.subplots(1, 2, sharey=True), parts, strict=True):
        for index, kind in enumerate(("with", "without")):
            means = [mean_interval(numbers[part][f"{kind}, {value:g}"]) for value in values]
            axes.errorbar(values, [100 * m for m, _ in means], [100 * h for _, h in means],
                          label=f"{kind} batch normalization", capsize=3,
                          **line_style(index))  # fmt: skip
        axes.set_xscale("log")
        plain_axes(axes, label, "validation accuracy, % (95 % interval)")
    axes.legend(frameon=False)


STUDY = Study(
    "batch_normalization",
    "Batch normalization makes training insensitive to the initial weights and to the learning "
    "rate, and prediction slower",
    "Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167",
    _measure,
    _judge,
    _draw,
)
