"""Study: where validation turns while training goes on, and what patience costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.studies.experiments.digits import Digits
from pipelines.studies.experiments.networks import mean_curve, network, train_settings
from pipelines.studies.statistics import mean_interval
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import COLORS, plain_axes
from tuning.early_stopping import EarlyStopping, StoppingConfig

EPOCHS, PATIENCES, EVERY = 60, (1, 2, 5, 10), (1, 3)


def replay(losses: Sequence[float], patience: int, every: int) -> tuple[int, float]:
    """Returns after how many epochs early stopping ends, and the validation loss it keeps.

    Args:
        losses: Validation loss of every epoch.
        patience: Validations without improvement that end training.
        every: Epochs between two validations.
    """
    stopping = EarlyStopping(StoppingConfig(monitor="val_loss", patience=patience, every=every))
    for epoch, loss in enumerate(losses):
        if (epoch + 1) % every == 0:
            stopping.update(epoch, {"val_loss": loss})
            if stopping.stopped:
                break
    return epoch + 1, stopping.best


def _measure(steps: Steps, effort: Effort) -> Numbers:
    setting = {"network": network(
        head={"hidden": (256, 256)}, optimizer={"learning_rate": 0.01}, epochs=EPOCHS
    )}  # fmt: skip
    curves = train_settings(
        steps,
        setting,
        effort.seeds,
        lambda seed: Digits(seed, train=300, batch_size=20, mislabeled=0.1),
    )
    losses = [[epoch["val_loss"] for epoch in epochs] for epochs in curves["network"]]
    return {
        "train": mean_curve(curves, "network", "loss"),
        "val": losses,
        "stops": {
            f"{patience}, {every}": [replay(row, patience, every) for row in losses]
            for patience in PATIENCES
            for every in EVERY
        },
    }


def _judge(numbers: Numbers) -> Sequence[Check]:
    rises = [row[-1] - min(row) for row in numbers["val"]]
    rise, half = mean_interval(rises)
    kept = {name: np.mean([loss for _, loss in runs]) for name, runs in numbers["stops"].items()}
    epochs = {
        name: np.mean([count for count, _ in runs]) for name, runs in numbers["stops"].items()
    }
    best = float(np.mean([min(row) for row in numbers["val"]]))
    return [
        Check("the training loss falls until the end",
              f"from {numbers['train'][0]:.3f} to {numbers['train'][-1]:.4f}",
              numbers["train"][-1] == min(numbers["train"])),
        Check("the validation loss turns: at the end it is above its least, the interval above 0",
              f"by {rise:.4f} ± {half:.4f}", rise - half > 0),
        Check("a patience of 5 keeps a loss within 2 % of the least of all epochs, in fewer epochs",
              f"{kept['5, 1']:.4f} of {best:.4f}, after {epochs['5, 1']:.0f} of {EPOCHS}",
              kept["5, 1"] < 1.02 * best and epochs["5, 1"] < EPOCHS),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, EPOCHS + 1)
    means = np.mean(numbers["val"], axis=0)
    left.plot(epochs, numbers["train"], color=COLORS[0], label="training")
    left.plot(epochs, means, color=COLORS[6], linestyle="--", label="validation")
    turn = int(np.argmin(means))
    left.plot(turn + 1, means[turn], "k*", markersize=12, label="the least")
    left.set_yscale("log")
    left.legend(frameon=False)
    plain_axes(left, "epoch", "loss, mean of the seeds")
    for index, every in enumerate(EVERY):
        runs = [np.mean(numbers["stops"][f"{p}, {every}"], axis=0) for p in PATIENCES]
        label = f"validated every {every} epochs" if every > 1 else "validated every epoch"
        right.plot([run[0] for run in runs], [run[1] for run in runs], "os"[index] + "-",
                   color=COLORS[index], label=label)  # fmt: skip
        for patience, run in zip(PATIENCES, runs, strict=True):
            right.annotate(f"{patience}", run, xytext=(5, 5), textcoords="offset points")
    right.legend(frameon=False)
    plain_axes(right, "epochs trained", "validation loss kept", "patience beside the points")


STUDY = Study(
    "early_stopping",
    "The validation loss turns while the training loss still falls; early stopping keeps the "
    "turning point",
    "Prechelt, 1998, https://doi.org/10.1007/978-3-642-35289-8_5",
    _measure,
    _judge,
    _draw,
)
