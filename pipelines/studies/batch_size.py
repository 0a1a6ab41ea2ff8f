"""Study: batch, mini-batch and online descent, by epochs and by seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pipelines.studies.experiments.digits import Digits
from pipelines.studies.experiments.networks import network
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study
from pipelines.studies.style import line_style, plain_axes

IMAGES, TARGET = 600, 0.1
"""Training images, and the training loss that counts as learned."""

# The batch size, the learning rate and the epochs. The first two rates are the fastest of 1 and 3
# by powers of ten; that of single images was not searched to its end.
SIZES = {"batch": (IMAGES, 1.0, 100), "mini-batch": (32, 0.3, 30), "online": (1, 0.01, 15)}


def _measure(steps: Steps, effort: Effort) -> Numbers:
    from tuning.batched_heads.trainer import HeadTrainer

    def measure(name: str) -> dict[str, Any]:
        size, rate, epochs = SIZES[name]
        spec = network(optimizer={"name": "sgd", "learning_rate": rate}, epochs=epochs)
        trainer, losses, seconds = HeadTrainer(), [], 0.0
        for seed in range(-1, effort.seeds):  # the first builds the graph
            data = Digits(max(seed, 0), train=IMAGES, batch_size=size)
            one = spec.model_copy(update={"seed": 0, "epochs": epochs if seed >= 0 else 1})
            started = time.perf_counter()
            outcome = trainer.train([one], data)[0]
            if seed >= 0:
                seconds += time.perf_counter() - started
                losses.append([round(epoch["loss"], 6) for epoch in outcome.history])
        return {"loss": losses, "s_per_epoch": seconds / effort.seeds / epochs}

    return {name: steps(name, partial(measure, name)) for name in SIZES}


def reach(numbers: Numbers, name: str) -> tuple[float, float]:
    """Returns after how many epochs and seconds the mean training loss is 0.1; ∞ if never."""
    means = np.mean(numbers[name]["loss"], axis=0)
    first = next((i + 1 for i, loss in enumerate(means) if loss <= TARGET), float("inf"))
    return first, first * numbers[name]["s_per_epoch"]


def _judge(numbers: Numbers) -> Sequence[Check]:
    epochs, seconds = ({name: reach(numbers, name)[part] for name in SIZES} for part in (0, 1))
    return [
        Check(f"online descent reaches a training loss of {TARGET} in the fewest epochs, "
              "batch descent in the most",
              ", ".join(f"{name} {epochs[name]:g}" for name in SIZES),
              epochs["online"] <= epochs["mini-batch"] < epochs["batch"]),
        Check("mini-batches reach it in the fewest seconds",
              ", ".join(f"{name} {seconds[name]:.2f} s" for name in SIZES),
              seconds["mini-batch"] == min(seconds.values()) < float("inf")),
    ]  # fmt: skip


def _draw(figure: Any, numbers: Numbers) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    for index, name in enumerate(SIZES):
        means = np.mean(numbers[name]["loss"], axis=0)
        epochs = range(1, len(means) + 1)
        size, rate, _ = SIZES[name]
        style = {**line_style(index), "marker": ""}
        left.plot(epochs, means, label=f"{name}: {size} images, rate {rate:g}", **style)
        right.plot([e * numbers[name]["s_per_epoch"] for e in epochs], means, **style)
    for axes, label in ((left, "epochs"), (right, "seconds on this machine")):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.axhline(TARGET, color="#777777", linewidth=1)
        plain_axes(axes, label, "training loss, mean of the seeds")
    left.legend(frameon=False, fontsize=9)


STUDY = Study(
    "batch_size",
    "Online descent needs the fewest epochs and batch descent the most; by the clock "
    "mini-batches are best",
    "LeCun et al., 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf",
    _measure,
    _judge,
    _draw,
)
