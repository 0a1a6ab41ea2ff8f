"""Calibration of a trained model, task by task, fitted to validation images."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    label_brier_score,
    label_calibration_error,
)
from pipelines.evaluation.predictions import compute_predictions
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Source
from pipelines.sources.splitting.groups import group_related
from pipelines.storage.split_metrics import BeforeAfter, TaskCalibration
from pipelines.training.agreement import predict_features
from pipelines.training.feeds import FeatureFeed
from tuning.linear_heads.comparison import is_better
from tuning.temperature import Floats, LabeledLogits, fit_on_folds, fit_temperature
from tuning.vector_scaling import VectorScaling, fit_vector_scaling, scale_on_folds
from zoo.models.temperature import fold_temperature
from zoo.models.trainable import build_head_model, build_logits_model
from zoo.models.vector_scaling import fold_vector_scaling
from zoo.tasks import TASK_KINDS, Task

logger = logging.getLogger(__name__)

_MIN_IMAGES = 50
"""Validation images from which on `auto` fits a temperature.

Where logits are calibrated already, what the rule takes is chance: drawn from known
distributions, it raises the log loss of other images by up to 0.006 nats in the mean of 40 draws
of 20 images, by 0.003 with 50, by 0.0004 with 150, and not at all with 500.
"""

_MAX_LOGITS = 1_000_000
"""Logits to fit to, at most: a thousand images of a thousand classes take some seconds."""


def calibrate(
    model: Any,
    recipe: ResolvedRecipe,
    source: Source,
    features: FeatureFeed | None,
    held_out_logits: npt.NDArray[np.float32] | None = None,
) -> dict[str, Any]:
    """Folds a temperature into the logits of each task, where it pays, or vector scaling.

    Args:
        model: The classifier, in float32 on one device; its last weights change.
        recipe: `calibration.method`, and how images are read.
        source: The validation images.
        features: What the head was trained on; None computes logits from the images.
        held_out_logits: Of the validation images of the one task, float32 [N, K], where other
            models than this one give them; None computes them.

    Returns:
        What metrics.json holds as `calibration`, see
        `pipelines.storage.split_metrics.Calibration`; empty where nothing was fitted.
    """
    method = recipe.calibration.method
    tasks = [task for task in source.tasks if TASK_KINDS[task.kind].has_classes]
    if method == "none" or recipe.train.with_validation or not tasks:
        return {}
    if method == "auto" and len(source.val) < _MIN_IMAGES:
        logger.info(
            f"temperature: {len(source.val)} validation images are too few to fit it to; 1 is used"
        )
        return {}
    if held_out_logits is None:
        logits = _compute_logits(model, recipe, source, features)
    else:
        logits = {tasks[0].name: held_out_logits}
    most = _MAX_LOGITS // max(task.num_outputs for task in tasks)
    chosen = np.sort(np.random.default_rng(recipe.seed).permutation(len(source.val))[:most])
    groups = group_related(source.val.take(chosen))
    records: dict[str, Any] = {}
    for task in tasks:
        values = logits[task.name][chosen]
        if np.isfinite(values).all():
            targets = source.val.targets[task.name][chosen]
            fit = _fit_vector if method == "vector" else _fit_temperature
            answers = _label(values, targets, task)
            records[task.name] = record = fit(answers, targets, task, recipe, groups)
            _fold(model, record, task)
    return records.get(tasks[0].name, {}) if tasks[0].bare else {"tasks": records}


def _compute_logits(
    model: Any, recipe: ResolvedRecipe, source: Source, features: FeatureFeed | None
) -> dict[str, npt.NDArray[np.float32]]:
    tasks = source.tasks
    if features is not None:
        return predict_features(build_head_model(model, tasks=tasks), features, "val", tasks)
    network = build_logits_model(model, frozen=False, tasks=tasks)
    return compute_predictions(network, recipe, source.val, tasks)


def calibrated_probabilities(
    logits: npt.NDArray[np.float32], task: Task, record: Mapping[str, Any]
) -> npt.NDArray[np.float32]:
    """Computes the probabilities of a task of classes as the calibrated model does.

    Args:
        logits: Before calibration, float32 [N, C].
        task: The task.
        record: What `calibrate` returned for it.
    """
    answers = LabeledLogits.of_classes(logits, np.zeros(len(logits), np.int64))
    if "scale" in record:
        answers = _scaling_of(record, task).apply(answers)
    return answers.probabilities(record.get("temperature", 1.0)).astype(np.float32)


def _scaling_of(record: Mapping[str, Any], task: Task) -> VectorScaling:
    names = task.class_names
    scale, shift = (np.array([record[key][name] for name in names]) for key in ("scale", "shift"))
    return VectorScaling(scale, shift)


def _fold(model: Any, record: TaskCalibration, task: Task) -> None:
    if "scale" in record:
        scaling = _scaling_of(record, task)
        fold_vector_scaling(model, scaling.scale, scaling.shift, task)
    else:
        fold_temperature(model, record["temperature"], task)


def _fit_vector(
    answers: LabeledLogits,
    targets: npt.NDArray[Any],
    task: Task,
    recipe: ResolvedRecipe,
    groups: npt.NDArray[np.int64] | None,
) -> TaskCalibration:
    """Fits a factor and a shift of each logit of a task, and logs what they do."""
    scaling = fit_vector_scaling(answers.smoothed())
    held_out = scale_on_folds(answers, recipe.seed, groups)
    before, after = (_measure(one, 1.0, targets) for one in (answers, held_out))
    logger.info(
        f"vector scaling{'' if task.bare else f' of {task.name}'}: log loss {before['loss']:.4f} "
        f"before, {after['loss']:.4f} after; factors of {scaling.scale.min():.3g} to "
        f"{scaling.scale.max():.3g} are used"
    )
    names = task.class_names
    return {
        "scale": dict(zip(names, scaling.scale.tolist(), strict=True)),
        "shift": dict(zip(names, scaling.shift.tolist(), strict=True)),
        "num_images": len(answers),
        **_compare(before, after),
    }


def _label(logits: npt.NDArray[np.float32], targets: npt.NDArray[Any], task: Task) -> LabeledLogits:
    of = LabeledLogits.of_classes if task.kind == "single_label" else LabeledLogits.of_labels
    return of(logits, targets)


def _compare(before: dict[str, float], after: dict[str, float]) -> TaskCalibration:
    both = {name: BeforeAfter(before=before[name], after=after[name]) for name in before}
    return {"loss": both["loss"], "brier": both["brier"], "ece": both["ece"]}


def _fit_temperature(
    answers: LabeledLogits,
    targets: npt.NDArray[Any],
    task: Task,
    recipe: ResolvedRecipe,
    groups: npt.NDArray[np.int64] | None,
) -> TaskCalibration:
    """Fits the temperature of a task, and logs whether it is used."""
    fitted = fit_temperature(answers.smoothed())
    held_out = fit_on_folds(answers, recipe.seed, groups)
    losses, usual = (answers.losses(t).astype(np.float32) for t in (held_out, 1.0))
    taken = recipe.calibration.method == "temperature" or is_better(losses, usual)
    temperature = fitted if taken else 1.0
    before, after = (_measure(answers, t, targets) for t in (1.0, held_out))
    logger.info(
        f"temperature{'' if task.bare else f' of {task.name}'}: log loss {before['loss']:.4f} "
        f"before, {after['loss']:.4f} after; {temperature:.3g} is used"
    )
    return {
        "temperature": temperature,
        "fitted": fitted,
        "num_images": len(answers),
        **_compare(before, after),
    }


def _measure(
    answers: LabeledLogits, temperature: float | Floats, targets: npt.NDArray[Any]
) -> dict[str, float]:
    """Returns loss, Brier score and calibration error, as the metrics of a split have them."""
    probabilities, loss = answers.probabilities(temperature), answers.losses(temperature).mean()
    if answers.exclusive:
        return {
            "loss": float(loss),
            "brier": brier_score(targets, probabilities),
            "ece": expected_calibration_error(targets, probabilities),
        }
    return {
        "loss": float(loss) / probabilities.shape[1],
        "brier": label_brier_score(targets, probabilities),
        "ece": label_calibration_error(targets, probabilities),
    }
