"""Pictures: images with what a model sees in them, for people to look at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.destination import check_destination
from pipelines.sources import Examples
from zoo.errors import InputError
from zoo.files import replacing

COLUMNS = 6


def check_picture(path: Path) -> None:
    """Checks that a picture can be written, before anything is computed for it.

    Raises:
        InputError: `path` is a folder, lies below a file, or cannot be written.
    """
    if os.path.isdir(path):
        raise InputError(
            f"{path} is a folder", expected="a file to write, a PNG", mend="name a file in it"
        )
    check_destination(path, "--picture")


def draw_answers(
    examples: Examples,
    probabilities: npt.NDArray[np.float32],
    class_names: Sequence[str],
    path: Path,
    *,
    rows: int = 4,
) -> None:
    """Draws a grid: images taken evenly, then the ones the model is most wrong about.

    Each tile names the true class, the answer and its probability; a wrong
    answer is red. Names are drawn as they are: a dollar sign begins no formula.

    Args:
        examples: A labelled split.
        probabilities: float32 [N, C], the model's answers to it.
        class_names: C of them.
        path: The PNG to write.
        rows: Rows of six; the lower half shows the largest losses.
    """
    from matplotlib.figure import Figure

    from zoo.preprocessing import decode

    labels = examples.labels
    losses = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))
    even = np.linspace(0, len(labels) - 1, min(COLUMNS * (rows - rows // 2), len(labels)))
    worst = np.argsort(-losses, kind="stable")[: min(COLUMNS * (rows // 2), len(labels))]
    parts = [
        ("Taken evenly from the split", even.astype(int)),
        ("Largest losses: where the model is most wrong", worst),
    ]
    heights = [-(-len(indices) // COLUMNS) for _, indices in parts]
    figure = Figure(figsize=(COLUMNS * 1.75, sum(heights) * 2.2 + 0.7), layout="constrained")
    panels: Any = figure.subfigures(2, 1, height_ratios=heights)
    for panel, (title, indices), height in zip(panels, parts, heights, strict=True):
        panel.suptitle(title, fontsize=11, x=0.01, ha="left", parse_math=False)
        axes = panel.subplots(height, COLUMNS, squeeze=False).ravel()
        for axis in axes:
            axis.axis("off")
        for axis, index in zip(axes, indices, strict=False):
            guess = int(probabilities[index].argmax())
            right = guess == labels[index]
            axis.imshow(decode(examples.read(int(index))).numpy(), interpolation="lanczos")
            verdict = class_names[guess] if right else f"{class_names[guess]}, not"
            truth = "" if right else f" {class_names[labels[index]]}"
            axis.set_title(
                f"{verdict}{truth}\n{probabilities[index, guess]:.0%}",
                fontsize=8,
                parse_math=False,
                color="#1a7f37" if right else "#b3261e",
            )
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
