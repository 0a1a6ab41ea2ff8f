"""Labeled images of a run: those that 8-bit integers are calibrated on, and the truth they meet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.sources.opening.evaluation_set import open_evaluation_set
from pipelines.sources.source import Examples
from pipelines.storage.run_folder import RunFolder
from zoo.errors import DataError, InputError

MAX_CALIBRATION = 256
"""Training images that the ranges of activations are taken from, at most."""


def check_measurable(run: RunFolder) -> None:
    """Checks that all answers of a run are right or wrong.

    Raises:
        InputError: One is a number.
    """
    numbers = [task.name for task in run.tasks if task.kind == "regression"]
    if numbers:
        raise InputError(
            "8-bit integers are held to the accuracy of classes and labels",
            expected="no task that is a number",
            received=", ".join(numbers),
            mend="--quantize float16",
        )


def open_labeled(
    run: RunFolder, data: str | Path | None, checked: Examples
) -> tuple[Examples, Mapping[str, npt.NDArray[Any]]]:
    """Opens training images for calibration, and the targets of other images of the run.

    Args:
        run: A finished run.
        data: The data set with its images, if it has moved.
        checked: N images of it, found by their content.

    Returns:
        Up to 256 training images, of each class in proportion, chosen by the run's seed; and
        by task the targets of `checked`, [N, …].

    Raises:
        DataError: The images cannot be read, or no training image is there.
    """
    name, recipe = str(data or run.recipe.source), run.recipe
    found = open_evaluation_set(name, recipe.data, run.tasks).joined().splits["all"]
    # Of copies of an image the first counts, as it does for `checked`.
    rows = {digest: len(found) - 1 - i for i, digest in enumerate(list(found.digests)[::-1])}
    indices = [rows[digest] for digest in checked.digests]
    targets = {task: values[indices] for task, values in found.targets.items()}
    trained = np.array([rows[d] for d in run.digests("train") if d in rows], np.int64)
    if not len(trained):
        raise DataError(
            f"no training image of {run.path} is in {name}",
            expected="images to calibrate 8-bit integers on",
            received=f"{len(found)} others",
            mend="give --data the images it was trained on",
        )
    chosen = trained[choose_in_proportion(found.labels[trained], MAX_CALIBRATION, recipe.seed)]
    return found.take(np.sort(chosen)), targets


def choose_in_proportion(
    labels: npt.NDArray[np.int64], count: int, seed: int
) -> npt.NDArray[np.int64]:
    """Chooses images at random, of each class in proportion.

    Args:
        labels: The class of each image, int64 [N].
        count: How many to choose, at most.
        seed: Of the choice.

    Returns:
        Indices of different images, int64 [min(N, count)].

    Example:
        >>> labels = np.repeat([0, 1], [300, 100])
        >>> np.bincount(labels[choose_in_proportion(labels, 40, seed=0)]).tolist()
        [30, 10]
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    # Where an image stands in the line of its class, as a share of the class.
    places = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        places[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(places[order], kind="stable")[:count]]
