"""Study: data as they are, centered, and standardized, and test images that are brighter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.studies.experiments.digits import Digits, standardized
from pipelines.studies.experiments.networks import last_values, mean_curve, network, train_settings
from pipelines.studies.statistics import mean_gain
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import draw_lines, legend_above, plain_axes

OFFSET, BRIGHTER = 4.0, 0.25
"""Added to all pixels of 0 to 1, before anything is done; added to validation images alone."""

Prepare = Callable[[Any, Any], Any]

PREPARATIONS: Mapping[str, Prepare] = {
    "as they are": lambda shown, rows: rows + OFFSET,
    "centered": lambda shown, rows: rows - shown.mean(axis=0),
    "standardized": standardized,
}


def _measure(steps: Steps, effort: Effort) -> Numbers:
    setting = {"network": network(optimizer={"learning_rate": 0.003})}

    def train(name: str, brighter: float) -> Any:
        prepare = PREPARATIONS[name]
        return train_settings(
            steps,
            setting,
            effort.seeds,
            lambda seed: Digits(
                seed,
                prepare=prepare,
                prepare_validation=lambda shown, rows: prepare(shown, rows + brighter),
            ),
            name=f"{name}, {'brighter, ' if brighter else ''}",
        )

    plain = {name: train(name, 0.0) for name in PREPARATIONS}
    bright = {name: train(name, BRIGHTER) for name in PREPARATIONS}
    return {
        "curves": {name: mean_curve(plain[name], "network", "loss") for name in PREPARATIONS},
        "loss": {name: last_values(plain[name], "network", "loss") for name in PREPARATIONS},
        "plain": {name: last_values(plain[name], "network") for name in PREPARATIONS},
        "bright": {name: last_values(bright[name], "network") for name in PREPARATIONS},
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    def compare(better: str, worse: str) -> Check:
        gain, half = mean_gain(numbers["loss"][worse], numbers["loss"][better])
        return Check(
            f"the training loss on {better} data is below that on data {worse}, the interval "
            "above 0",
            f"by {gain:.3f} ± {half:.3f}",
            gain - half > 0,
        )

    drop, half = mean_gain(numbers["plain"]["standardized"], numbers["bright"]["standardized"])
    return [
        compare("centered", "as they are"),
        compare("standardized", "centered"),
        Check("statistics of the training images do not undo brighter test images: accuracy "
              "falls, the interval above 0", f"by {100 * drop:.1f} ± {100 * half:.1f} points",
              drop - half > 0),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, right = figure.subplots(1, 2)
    curves = numbers["curves"]
    draw_lines(left, range(1, len(curves["standardized"]) + 1), curves)
    left.set_yscale("log")
    plain_axes(left, "epoch", "training loss")
    for offset, part, label, hatch in (
        (-0.2, "plain", "test images alike", ""),
        (0.2, "bright", f"brighter by {BRIGHTER:g} of the range", "//"),
    ):
        means = [100 * sum(values) / len(values) for values in numbers[part].values()]
        right.bar([i + offset for i in range(len(means))], means, 0.38, label=label, hatch=hatch,
                  color="#0072b2" if part == "plain" else "#e69f00")  # fmt: skip
    right.set_xticks(range(len(PREPARATIONS)), list(PREPARATIONS))
    legend_above(right)
    plain_axes(right, "", "validation accuracy, %")


STUDY = Study(
    "data_normalization",
    "Centered data train faster than data as they are, standardized ones faster still",
    "LeCun et al., 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf",
    _measure,
    _judge,
    _draw,
    figure_size=(10.5, 4.5),
)
