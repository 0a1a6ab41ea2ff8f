"""Study: L1 and L2 penalties from none to far too much, and their choice by folds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.digits import Digits
from pipelines.studies.experiments.networks import (
    last_values,
    network,
    penalty,
    train_settings,
)
from pipelines.studies.statistics import mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, plain_axes

STRENGTHS = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
KINDS = ("l1", "l2", "elastic_net")
_IMAGES, _FOLDS = 100, 5


def _measure(steps: Steps, effort: Effort) -> Numbers:
    settings = {
        f"{kind}, {strength:g}": network(
            head={"hidden": ()},
            optimizer={"name": "sgd", "learning_rate": 0.1},
            penalty=penalty(kind, strength),
            epochs=60,
        )
        for kind in KINDS
        for strength in STRENGTHS
    }

    def images(seed: int) -> Digits:
        return Digits(seed, train=_IMAGES, batch_size=20)

    def fold(number: int, seed: int) -> Digits:
        return images(seed).fold(number, _FOLDS)

    whole = train_settings(steps, settings, effort.seeds, images)
    folds = [
        train_settings(
            steps, settings, effort.seeds,
            partial(fold, k), name=f"fold {k}, ",
        )
        for k in range(_FOLDS)
    ]  # fmt: skip
    return {
        "loss": {name: last_values(whole, name, "loss") for name in settings},
        "val_loss": {name: last_values(whole, name, "val_loss") for name in settings},
        "folds": {
            name: np.mean([last_values(fold, name, "val_loss") for fold in folds], axis=0).tolist()
            for name in settings
        },
    }


def choices(numbers: Numbers, kind: str) -> list[tuple[float, float, float]]:
    """Returns the strength that the folds choose, its loss, and the least loss, for each seed."""
    folds, unseen = (
        np.array([numbers[part][f"{kind}, {s:g}"] for s in STRENGTHS])
        for part in ("folds", "val_loss")
    )
    best = folds.argmin(axis=0)
    return [(STRENGTHS[place], float(unseen[place, seed]), float(unseen[:, seed].min()))
            for seed, place in enumerate(best)]  # fmt: skip


def _judge(numbers: Numbers) -> Sequence[Check]:
    checks = []
    for kind in KINDS:
        seen, unseen = (
            [float(np.mean(numbers[metric][f"{kind}, {s:g}"])) for s in STRENGTHS]
            for metric in ("loss", "val_loss")
        )
        best = int(np.argmin(unseen))
        _, chosen, least = np.mean(choices(numbers, kind), axis=0)
        checks += [
            Check(f"{kind}: the best strength is neither none nor the largest",
                  f"{STRENGTHS[best]:g}: {unseen[best]:.3f}, none {unseen[0]:.3f}, the largest "
                  f"{unseen[-1]:.3f}", 0 < best < len(STRENGTHS) - 1),
            Check(f"{kind}: the largest underfits: the training loss is above half of chance",
                  f"{seen[-1]:.2f}", seen[-1] > np.log(10) / 2),
            Check(f"{kind}: the strength that {_FOLDS} folds choose is within 5 % of the best "
                  "one's loss", f"{chosen:.3f} against {least:.3f}", chosen < 1.05 * least),
        ]  # fmt: skip
    return checks


def _draw(figure: Any, numbers: Numbers) -> None:
    shown = [max(s, 1e-5) for s in STRENGTHS]  # none, left of all others
    for axes, kind in zip(figure.subplots(1, 3, sharey=True), KINDS, strict=True):
        lines = (("loss", "training images"), ("val_loss", "validation images"),
                 ("folds", f"{_FOLDS} folds of the training images"))  # fmt: skip
        for index, (part, label) in enumerate(lines):
            means = [mean_interval(numbers[part][f"{kind}, {s:g}"]) for s in STRENGTHS]
            axes.errorbar(shown, [m for m, _ in means], [h for _, h in means], capsize=3,
                          label=label, **line_style(index))  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks([1e-5, 1e-4, 1e-2, 1], ["none", "0.0001", "0.01", "1"])
        plain_axes(axes, "strength λ", "", kind.replace("_", " "))
    figure.axes[0].set_ylabel("loss (95 % interval)")
    figure.axes[0].legend(frameon=False, fontsize=9, loc="upper left")


STUDY = Study(
    "penalties",
    "A penalty of the right strength helps, too weak a one overfits, too strong a one underfits; "
    "cross-validation finds it",
    "Tibshirani, 1996, https://www.jstor.org/stable/2346178; Stone, 1974, "
    "https://www.jstor.org/stable/2984809",
    _measure,
    _judge,
    _draw,
    figure_size=(12.5, 4.5),
)
