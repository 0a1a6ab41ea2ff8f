"""Grids of images with their predictions and true labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.predictions import Answers
from pipelines.runtime.output_paths import check_destination
from pipelines.sources.source import Examples
from zoo.decoding.image_decoder import ImageDecoder
from zoo.errors import InputError
from zoo.files import replacing
from zoo.tasks import Task

COLUMNS = 6


def check_picture(path: Path, option: str = "--picture") -> None:
    """Checks that a picture can be written, before anything is computed for it.

    Args:
        path: The PNG to write.
        option: The command-line option that named it, for the message.

    Raises:
        InputError: `path` is a folder, lies below a file, or cannot be written.
    """
    if os.path.isdir(path):
        raise InputError(
            f"{path} is a folder", expected="a file to write, a PNG", mend="name a file in it"
        )
    check_destination(path, option)


def draw_predictions(
    examples: Examples,
    answers: Answers,
    tasks: Sequence[Task],
    path: Path,
    *,
    decoder: ImageDecoder,
    rows: int = 4,
) -> None:
    """Draws a grid: evenly spaced images above, those with the largest losses below.

    Each tile shows the predicted class, its probability and the true class, for each task;
    the text is red where a prediction is wrong. Names are drawn literally, without
    Matplotlib's math mode.

    Args:
        examples: A labeled split, N images.
        answers: What the model says about them.
        tasks: What the model predicts.
        path: The PNG to write.
        decoder: Decodes the images.
        rows: Number of rows of six tiles; the lower half shows the largest losses.
    """
    from matplotlib.figure import Figure

    predictions = answers.predictions
    columns = [(task, examples.targets[task.name], predictions[task.name]) for task in tasks]
    losses = sum(_compute_losses(*column) for column in columns)
    labels = {
        task.name: answers.sets.get(task.name, predictions[task.name] >= 0.5) for task in tasks
    }
    count = len(examples)
    even = np.linspace(0, count - 1, min(COLUMNS * (rows - rows // 2), count))
    worst = np.argsort(-losses, kind="stable")[: min(COLUMNS * (rows // 2), count)]
    parts = [
        ("Evenly spaced images of the split", even.astype(int)),
        ("Largest losses", worst),
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
            captions = [
                _build_caption(task, targets[index], predicted[index], labels[task.name][index])
                for task, targets, predicted in columns
            ]
            axis.imshow(decoder(examples.read(int(index))).numpy(), interpolation="lanczos")
            axis.set_title(
                "\n".join(text for text, _ in captions),
                fontsize=8,
                parse_math=False,
                color="#1a7f37" if all(correct for _, correct in captions) else "#b3261e",
            )
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _compute_losses(
    task: Task, targets: npt.NDArray[Any], predictions: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Computes each image's loss, float64 [N], on scales that can be added over tasks."""
    if task.kind == "single_label":
        return -np.log(np.maximum(predictions[np.arange(len(targets)), targets], 1e-12))
    if task.kind == "multi_label":
        likelihoods = np.where(targets == 1, predictions, 1 - predictions)
        return -np.log(np.maximum(likelihoods, 1e-12)).mean(axis=1)
    return np.square((predictions[:, 0] - targets) / task.std).astype(np.float64)


def _build_caption(
    task: Task, target: Any, prediction: npt.NDArray[np.float32], labels: npt.NDArray[np.bool_]
) -> tuple[str, bool]:
    """Returns the text above one image, and whether the prediction is correct.

    Args:
        task: What was predicted.
        target: The class, int64 []; the labels, float32 [L]; or the number, float32 [].
        prediction: float32 [K].
        labels: Of a multi-label task, those that are predicted, bool [K].
    """
    if task.kind == "regression":
        # A number counts as correct within half a standard deviation.
        near = abs(prediction[0] - target) <= task.std / 2
        return f"{task.name} {prediction[0]:.3g}, is {target:.3g}", bool(near)
    if task.kind == "multi_label":
        predicted, true = (
            "+".join(name for name, has in zip(task.class_names, row, strict=True) if has) or "none"
            for row in (labels, target == 1)
        )
        if predicted == true:
            return predicted, True
        return f"{predicted}, not {true}", False
    label = int(prediction.argmax())
    correct = bool(label == target)
    text = task.class_names[label]
    if not correct:
        text += f", not {task.class_names[target]}"
    # A plain classifier has room for a second line.
    separator = "\n" if task.bare else " "
    return f"{text}{separator}{prediction[label]:.0%}", correct
