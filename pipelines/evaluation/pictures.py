"""Pictures: images with what a model sees in them, for people to look at."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.runtime.output_paths import check_destination
from pipelines.sources.source import Examples
from zoo.errors import InputError
from zoo.files import replacing
from zoo.tasks import Task

COLUMNS = 6


def check_picture(path: Path, option: str = "--picture") -> None:
    """Checks that a picture can be written, before anything is computed for it.

    Args:
        path: The PNG.
        option: What the user named it by.

    Raises:
        InputError: `path` is a folder, lies below a file, or cannot be written.
    """
    if os.path.isdir(path):
        raise InputError(
            f"{path} is a folder", expected="a file to write, a PNG", mend="name a file in it"
        )
    check_destination(path, option)


def draw_answers(
    examples: Examples,
    answers: Mapping[str, npt.NDArray[np.float32]],
    tasks: Sequence[Task],
    path: Path,
    *,
    rows: int = 4,
) -> None:
    """Draws a grid: images taken evenly, then the ones the model is most wrong about.

    Each tile names the true class, the answer and its probability, for each task;
    a wrong answer is red. Names are drawn as they are: a dollar sign begins no formula.

    Args:
        examples: A labeled split.
        answers: float32 [N, K] by task.
        tasks: What was asked.
        path: The PNG to write.
        rows: Rows of six; the lower half shows the largest losses.
    """
    from matplotlib.figure import Figure

    from zoo.preprocessing import decode

    asked = [(task, examples.targets[task.name], answers[task.name]) for task in tasks]
    losses = sum(_losses(*question) for question in asked)
    count = len(examples)
    even = np.linspace(0, count - 1, min(COLUMNS * (rows - rows // 2), count))
    worst = np.argsort(-losses, kind="stable")[: min(COLUMNS * (rows // 2), count)]
    parts = [
        ("Taken evenly from the split", even.astype(int)),
        ("Largest losses: where the model is most wrong", worst),
    ]
    heights = [-(-len(indices) // COLUMNS) for _, indices in parts]
    height = 2.05 + 0.15 * len(tasks)
    figure = Figure(figsize=(COLUMNS * 1.75, sum(heights) * height + 0.7), layout="constrained")
    panels: Any = figure.subfigures(2, 1, height_ratios=heights)
    for panel, (title, indices), height in zip(panels, parts, heights, strict=True):
        panel.suptitle(title, fontsize=11, x=0.01, ha="left", parse_math=False)
        axes = panel.subplots(height, COLUMNS, squeeze=False).ravel()
        for axis in axes:
            axis.axis("off")
        for axis, index in zip(axes, indices, strict=False):
            said = [_caption(task, target[index], row[index]) for task, target, row in asked]
            axis.imshow(decode(examples.read(int(index))).numpy(), interpolation="lanczos")
            axis.set_title(
                "\n".join(text for text, _ in said),
                fontsize=8,
                parse_math=False,
                color="#1a7f37" if all(right for _, right in said) else "#b3261e",
            )
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _losses(
    task: Task, target: npt.NDArray[Any], answer: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Returns by how much each answer is wrong, float64 [N], in units that can be added."""
    if task.kind == "single_label":
        return -np.log(np.maximum(answer[np.arange(len(target)), target], 1e-12))
    if task.kind == "multi_label":
        return -np.log(np.maximum(np.where(target == 1, answer, 1 - answer), 1e-12)).mean(axis=1)
    return np.square((answer[:, 0] - target) / task.std).astype(np.float64)


def _caption(task: Task, target: Any, answer: npt.NDArray[np.float32]) -> tuple[str, bool]:
    """Returns what is written above an image, and whether the answer is right."""
    if task.kind == "regression":
        # Within half a deviation: a number is never quite right.
        near = abs(answer[0] - target) <= task.std / 2
        return f"{task.name} {answer[0]:.3g}, is {target:.3g}", bool(near)
    if task.kind == "multi_label":
        verdict, truth = (
            "+".join(name for name, has in zip(task.class_names, row, strict=True) if has) or "none"
            for row in (answer >= 0.5, target == 1)
        )
        return (verdict, True) if verdict == truth else (f"{verdict}, not {truth}", False)
    guess = int(answer.argmax())
    right = guess == target
    name = task.class_names[guess]
    verdict = name if right else f"{name}, not {task.class_names[target]}"
    return f"{verdict}{chr(10) if task.bare else ' '}{answer[guess]:.0%}", bool(right)
