"""Study: one layer cannot learn XOR, two can."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.logic_gates import (
    POINTS,
    TABLES,
    answer_two_layers,
    learn_perceptron,
    learn_two_layers,
)
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import COLORS, plain_axes

_GRID = np.linspace(-0.5, 1.5, 61)


def _measure(steps: Steps, effort: Effort) -> Numbers:
    grid = np.stack(np.meshgrid(_GRID, _GRID), axis=-1).reshape(-1, 2)

    def measure(name: str) -> dict[str, Any]:
        labels = TABLES[name]
        one = [learn_perceptron(labels, seed) for seed in range(effort.seeds)]
        two = [learn_two_layers(labels, seed) for seed in range(effort.seeds)]
        right = [(answer_two_layers(w, POINTS) > 0.5) == labels for w in two]
        best = two[int(np.argmax([part.mean() for part in right]))]
        line = np.hstack([grid, np.ones((len(grid), 1))]) @ one[0][0]
        return {
            "epochs": [epochs for _, epochs in one],
            "two_layers": [float(part.mean()) for part in right],
            "line": (line > 0).astype(int).tolist(),
            "answers": (answer_two_layers(best, grid) > 0.5).astype(int).tolist(),
        }

    return {name: steps(name, partial(measure, name)) for name in TABLES}


def _judge(numbers: Numbers) -> Sequence[Check]:
    easy = [epochs for name in ("AND", "OR") for epochs in numbers[name]["epochs"]]
    hard, two = numbers["XOR"]["epochs"], numbers["XOR"]["two_layers"]
    solved = sum(share == 1.0 for share in two)
    return [
        Check("a perceptron learns AND and OR with every seed",
              f"in at most {max(easy)} epochs" if min(easy) > 0 else "not with every seed",
              min(easy) > 0),
        Check("it never ends on XOR, in 1,000 epochs",
              f"{sum(epochs < 0 for epochs in hard)} of {len(hard)} seeds", max(hard) < 0),
        Check("two layers learn XOR with most seeds", f"{solved} of {len(two)} seeds",
              solved > len(two) / 2),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    rows = figure.subplots(2, len(TABLES), sharex=True, sharey=True)
    for column, (name, labels) in enumerate(TABLES.items()):
        for axes, key, title in (
            (rows[0, column], "line", f"{name}, one layer"),
            (rows[1, column], "answers", f"{name}, two layers"),
        ):
            shown = np.reshape(numbers[name][key], (len(_GRID), -1))
            axes.contourf(_GRID, _GRID, shown, levels=[-0.5, 0.5, 1.5], colors=["white", "#cfe3f1"])
            for label, marker, color in ((0, "o", COLORS[6]), (1, "s", COLORS[0])):
                axes.plot(*POINTS[labels == label].T, marker, color=color, markersize=9,
                          label=f"{label}")  # fmt: skip
            plain_axes(axes, "first input", "second input", title)
    figure.legend(
        *rows[0, 0].get_legend_handles_labels(), frameon=False, title="right answer", ncols=2,
        loc="outside lower center",
    )  # fmt: skip


STUDY = Study(
    "perceptron",
    "A perceptron cannot learn XOR; a network of two layers can",
    "Minsky and Papert, 1969, Perceptrons; Rumelhart et al., 1986, "
    "https://doi.org/10.1038/323533a0",
    _measure,
    _judge,
    _draw,
    figure_size=(10.0, 6.5),
)
