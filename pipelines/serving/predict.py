"""Predict image files with a trained run, an exported model or a pretrained network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.predictions import Answers
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.serving.inputs import Image, Input, list_inputs
from pipelines.serving.prediction import Prediction, TaskPrediction
from pipelines.serving.predictor import Predictor, open_predictor
from pipelines.storage.run_folder import RunFolder
from zoo.errors import InputError
from zoo.tasks import Task

BATCH_SIZE = 32


def predict(
    model: RunFolder | str | Path,
    images: Image | Sequence[Image],
    *,
    top: int = 5,
    trust: bool = False,
    verify: str | Path | None = None,
) -> list[Prediction]:
    """Predicts images: files, or what is in memory.

    An image that cannot be read has an `error` instead of predictions; the others are
    predicted all the same.

    Args:
        model: A finished run, a model that `zoo export` wrote, or a pretrained network
            with a top, by name (`efficientnet_lite0.imagenet`) or as a file that
            `zoo pretrain` wrote. A run or an exported model at a path of that name comes first.
        images: One or several: files, folders of them and globs, the bytes of such files,
            pictures of Pillow, or uint8 arrays. See `pipelines.serving.inputs`. Of the formats
            that a data set may have, an exported model reads JPEG, PNG, GIF, BMP and WebP.
        top: Number of classes or labels to name, at most.
        trust: Whether to run a SavedModel that this user did not export: it is a program, which
            can read and write files.
        verify: The public key of whoever signed the SavedModel, a PEM file: one that bears no
            signature of that key, or has changed since, is refused.

    Returns:
        One prediction an image, in the order of `images`.

    Raises:
        RunError: `model` is none of these, or damaged, or a SavedModel that this user did not
            export and `trust` is off; or it is not signed by `verify`.
        UnknownNameError: `model` is nearly the name of a pretrained network.
        WeightsError: The pretrained network has no top, or its file is absent or damaged.
        DataError: A file or folder does not exist, or there is no image.
        InputError: An image is of another kind, or an array of another type or shape; or
            `verify` is no public key, or the extra `sign` is not installed.
    """
    if trust and verify:
        raise InputError(
            "a SavedModel is either trusted or verified",
            expected="--trust or --verify",
            received="both",
            mend="omit --trust (in Python: trust=True)",
        )
    inputs = list_inputs(images)
    with isolated():
        start_keras()
        predictor = open_predictor(
            model if isinstance(model, RunFolder) else Path(model),
            trust=trust,
            verify=Path(verify) if verify else None,
        )
    predictions: list[Prediction] = []
    for start in range(0, len(inputs), BATCH_SIZE):
        predictions += _predict_batch(predictor, inputs[start : start + BATCH_SIZE], top)
    return predictions


def _predict_batch(predictor: Predictor, inputs: Sequence[Input], top: int) -> list[Prediction]:
    contents, errors = {}, {}
    for index, image in enumerate(inputs):
        try:
            contents[index] = image.read()
        except OSError as error:
            errors[index] = f"cannot be read: {error.strerror}"
    names = [inputs[index].name for index in contents]
    problems, answers = predictor.predict(names, list(contents.values()))
    errors |= {index: text for index, text in zip(contents, problems, strict=True) if text}
    bare = predictor.tasks[0].bare
    predictions, row = [], 0
    for index, image in enumerate(inputs):
        if index in errors:
            predictions.append(Prediction(image.name, bare=bare, error=errors[index]))
            continue
        predictions.append(describe_answer(image.name, predictor.tasks, answers, row, top))
        row += 1
    return predictions


def describe_answer(
    name: str, tasks: Sequence[Task], answers: Answers, row: int, top: int
) -> Prediction:
    """Returns the prediction of one image from the answers for several.

    Args:
        name: The image's.
        tasks: What the model predicts.
        answers: For N images.
        row: Which of them, 0 to N - 1.
        top: Number of classes or labels to name, at most.
    """
    of_tasks = {
        task.name: _predict_task(
            task,
            answers.predictions[task.name][row],
            answers.sets[task.name][row] if task.name in answers.sets else None,
            top,
        )
        for task in tasks
    }
    scores = answers.unknown_scores
    score = None if scores is None else float(scores[row])
    return Prediction(name, of_tasks, bare=tasks[0].bare, unknown_score=score)


def _predict_task(
    task: Task, row: npt.NDArray[np.float32], members: npt.NDArray[np.bool_] | None, top: int
) -> TaskPrediction:
    if task.kind == "regression":
        return TaskPrediction(value=float(row[0]))
    order = np.argsort(-row, kind="stable")
    best = order[:top]
    return TaskPrediction(
        tuple(task.class_names[i] for i in best),
        tuple(float(row[i]) for i in best),
        prediction_set=None
        if members is None
        else tuple(task.class_names[i] for i in order if members[i]),
        exclusive=task.kind == "single_label",
    )
