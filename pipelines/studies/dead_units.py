"""Study: ReLUs that die while they train."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.studies.experiments.digits import Digits
from pipelines.studies.experiments.networks import network
from pipelines.studies.statistics import mean_gain, mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, log_ticks, plain_axes
from tuning.batched_heads.trainer import HeadTrainer

RATES, LARGE = (0.01, 0.03, 0.1, 0.2), 0.1
KINDS = ("relu", "leaky_relu")
_HIDDEN = (64,) * 5


def dead_share(weights: Sequence[npt.NDArray[np.float32]], rows: npt.NDArray[np.float32]) -> float:
    """Returns the share of hidden units whose input is negative for every row.

    Args:
        weights: Kernel and biases of each layer of a network of ReLUs; the last one's are those
            of the logits.
        rows: float32 [rows, features].
    """
    dead = []
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = rows @ kernel + bias
        dead.append((x <= 0).all(axis=0))
        rows = np.maximum(x, 0)
    return float(np.concatenate(dead).mean())


def _measure(steps: Steps, effort: Effort) -> Numbers:
    settings = {
        f"{kind}, {rate:g}": network(
            head={"hidden": _HIDDEN, "activation": kind}, optimizer={"learning_rate": rate}
        )
        for kind in KINDS
        for rate in RATES
    }

    def measure(seed: int) -> dict[str, Any]:
        data = Digits(seed)
        specs = [spec.model_copy(update={"seed": seed}) for spec in settings.values()]
        outcomes = HeadTrainer().train(specs, data, keep_weights=True)
        found = dict(zip(settings, outcomes, strict=True))
        return {
            # Of the epoch with the best validation; nothing is kept of a network that diverged.
            "dead": [dead_share(found[f"relu, {rate:g}"].weights or (), data.rows)
                     if found[f"relu, {rate:g}"].weights else 1.0 for rate in RATES],
            **{kind: [outcome.history[-1].get("val_accuracy", 0.0) for outcome in
                      (found[f"{kind}, {rate:g}"] for rate in RATES)] for kind in KINDS},
        }  # fmt: skip

    seeds = [steps(f"seed {seed}", partial(measure, seed)) for seed in range(effort.seeds)]
    return {name: [seed[name] for seed in seeds] for name in seeds[0]}


def _judge(numbers: Numbers) -> Sequence[Check]:
    large = RATES.index(LARGE)
    few, many = ([row[place] for row in numbers["dead"]] for place in (0, large))
    more, half = mean_gain(many, few)
    gain, around = mean_gain(*([row[large] for row in numbers[kind]] for kind in KINDS[::-1]))
    return [
        Check(f"at a learning rate of {LARGE:g} more than 5 % of the ReLUs are dead",
              f"{np.mean(many):.1%}", float(np.mean(many)) > 0.05),
        Check(f"those are more than at {RATES[0]:g}, the interval above 0",
              f"by {100 * more:.1f} ± {100 * half:.1f} points", more - half > 0),
        Check(f"leaky ReLUs, which cannot die, are more accurate at {LARGE:g}, the interval above "
              "0", f"{100 * gain:+.1f} ± {100 * around:.1f} points", gain - around > 0),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, right = figure.subplots(1, 2)
    lines = ((left, "dead", "ReLU"), (right, "relu", "ReLU"), (right, "leaky_relu", "leaky ReLU"))
    for index, (axes, part, label) in enumerate(lines):
        means = [mean_interval(values) for values in zip(*numbers[part], strict=True)]
        axes.errorbar(RATES, [100 * m for m, _ in means], [100 * h for _, h in means], label=label,
                      capsize=3, **line_style(max(0, index - 1)))  # fmt: skip
    for axes in (left, right):
        log_ticks(axes, RATES)
        axes.set_ylim(0, 100)
    right.legend(frameon=False)
    plain_axes(left, "learning rate", "ReLUs that are 0 for every training image, %")
    plain_axes(right, "learning rate", "validation accuracy, % (95 % interval)")


STUDY = Study(
    "dead_units",
    "A ReLU that gets only negative input dies; large learning rates kill many, and leaky ReLUs "
    "do better there",
    "Maas et al., 2013, https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf",
    _measure,
    _judge,
    _draw,
)
