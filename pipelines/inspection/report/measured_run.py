"""A run measured again on its images, as the report needs it: image by image."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.metrics import compute_answer_metrics
from pipelines.evaluation.predictions import Answers, compute_predictions
from pipelines.evaluation.training_twins import find_twins_in_run
from pipelines.runtime.isolation import start_keras
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.opening.evaluation_set import EvaluationSet, open_evaluation_set
from pipelines.sources.source import Examples
from pipelines.storage.run_folder import RunFolder
from pipelines.storage.split_metrics import SplitMetrics, TaskMetrics
from zoo.errors import InputError, RunError
from zoo.tasks import Task

logger = logging.getLogger(__name__)

SPLITS = ("test", "val", "all", "train")
"""Splits that a report is about, the first that there is."""

_WORDS = {
    "test": "test",
    "val": "validation",
    "all": "new",
    "train": "training",
}


@dataclass(frozen=True)
class MeasuredRun:
    """The predictions of a run on one split, or its recorded metrics where images are missing.

    Args:
        run: The run.
        data: DATA that the images were looked for in.
        split: `test`, `val`, `train`; or `all`, images that the run does not record.
        tasks: What the model predicts.
        metrics: Of the split.
        examples: The split, N images; None if they are not at hand.
        predictions: float32 [N, K] by task; empty without images.
        notes: What the reader has to know of the images, a sentence each.
        held_out: Whether each image was answered by the fold head that has not seen it.
    """

    run: RunFolder
    data: str
    split: str
    tasks: tuple[Task, ...]
    metrics: SplitMetrics
    examples: Examples | None = None
    predictions: Mapping[str, npt.NDArray[np.float32]] | None = None
    notes: tuple[str, ...] = ()
    held_out: bool = False

    @property
    def split_word(self) -> str:
        """The kind of the images, as in `153 validation images`."""
        return _WORDS["train" if self.trained_on else self.split]

    @property
    def trained_on(self) -> bool:
        """Whether the model was trained on the split."""
        retrained = self.split == "val" and self.run.recipe.train.with_validation
        return self.split == "train" or retrained

    def metrics_of(self, task: Task) -> TaskMetrics:
        """Returns the metrics of one task."""
        return self.metrics if task.bare else self.metrics["tasks"][task.name]


def measure_run(run: RunFolder, data: str | Path | None) -> MeasuredRun:
    """Predicts the test images of a run, else its validation images.

    An image belongs to the split that the run recorded for its content, whatever its name and
    folder are now. Images that the run does not record are measured where `data` has no others.

    Args:
        run: A finished run.
        data: The data set; None takes that of the recipe, and if it is not there any more the
            metrics that the run recorded.

    Raises:
        RunError: The run is damaged or not finished.
        DataError: `data` cannot be read or has classes that the model does not know.
    """
    if not run.finished:
        raise RunError(
            f"{run.path} is not finished",
            expected="metrics.json",
            mend="go on with it: zoo train --out RUN --resume",
        )
    recipe = run.recipe
    name = str(data or recipe.source)
    kept = KeptImages(recipe.input.preprocessing.decoder, recipe.input.cache_mib)
    try:
        found = open_evaluation_set(name, recipe.data, run.tasks, kept=kept)
        found = found.assigned({split: run.digests(split) for split in ("train", "val", "test")})
        if run.held_out:
            found = found.with_validation(run.held_out.find)
    except InputError as error:
        if data:
            raise
        return _recorded(run, name, str(error))
    split = next(name for name in SPLITS if name in found.splits)
    if not data and split not in ("test", "val") and _recorded_split(run):
        return _recorded(run, name, f"none of the held-out images of the run is in {name}")
    return _predict(run, found, split)


def _predict(run: RunFolder, found: EvaluationSet, split: str) -> MeasuredRun:
    start_keras()
    examples, recipe = found.splits[split], run.recipe
    logger.info(f"predicting {len(examples)} {_WORDS[split]} images of {found.name}")
    held_out = run.held_out if split == "val" else None
    if held_out and held_out.covers(examples.digests):
        predictions = {found.tasks[0].name: held_out.of(examples.digests)}
    else:
        held_out = None
        predictions = compute_predictions(run.model, recipe, examples, found.tasks)
    trained_on = split == "train" or (split == "val" and recipe.train.with_validation)
    twins = None if trained_on else find_twins_in_run(run, examples, held_out)
    answers = Answers(predictions).decided(run.decision_rules)
    measured = MeasuredRun(
        run,
        found.name,
        split,
        found.tasks,
        compute_answer_metrics(examples, answers, found.tasks, twins=twins),
        examples,
        predictions,
        held_out=held_out is not None,
    )
    return replace(measured, notes=tuple(_describe_images(measured, len(examples), found)))


def _describe_images(measured: MeasuredRun, count: int, found: EvaluationSet) -> list[str]:
    """Returns what makes the figures less than those of new images."""
    notes = []
    if measured.trained_on:
        notes.append("The model was trained on these images: the figures do not hold for others.")
    elif measured.held_out and (members := measured.run.record.get("members")):
        notes.append(
            f"The model is the mean of {len(members)} runs, and each image is answered by models "
            "that have not seen it. These images helped to choose their penalties and "
            "calibrations; test images, which have no part in that, are the stricter measure."
        )
    elif measured.held_out:
        notes.append(
            f"The model is the mean of {measured.run.recipe.num_folds} heads, and each image is "
            "answered by the one head that has not seen it. These images helped to choose the "
            "penalty and the calibration; test images, which have no part in that, are the "
            "stricter measure."
        )
    elif measured.split == "val":
        notes.append(
            "Validation images helped to choose the weights and the calibration; test images, "
            "which have no part in that, are the stricter measure."
        )
    num_recorded = len(measured.run.digests("train" if measured.held_out else measured.split))
    if num_recorded > count:
        notes.append(f"{num_recorded - count} of {num_recorded} recorded images are gone.")
    if found.skipped:
        notes.append(f"{len(found.skipped)} files were left out, since they do not decode.")
    return notes


def _recorded_split(run: RunFolder) -> str | None:
    splits = ("test", "val", "train")
    return next((split for split in splits if split in run.metrics), None)


def _recorded(run: RunFolder, name: str, why: str) -> MeasuredRun:
    """Returns what the run recorded of its images, where these are not at hand.

    Raises:
        RunError: It recorded no metrics of a split.
    """
    mend = f"zoo report {shlex.quote(str(run.path))} --data DATA"
    split = _recorded_split(run)
    if split is None:
        raise RunError(
            f"the images of {run.path} cannot be read: {why}", mend=f"say where they are: {mend}"
        )
    logger.warning(f"without images: {why}; with them: {mend}")
    note = (
        f"The images are not at hand: {why}. So this report has no images, reliability diagram or "
        f"thresholds; {mend} makes it with those."
    )
    return MeasuredRun(run, name, split, run.tasks, run.metrics[split], notes=(note,))
