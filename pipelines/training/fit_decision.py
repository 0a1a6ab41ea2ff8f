"""Fit of decision rules to a trained model's probabilities of validation images."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Source
from pipelines.storage.split_metrics import TaskDecision
from tuning.decision import fit_label_thresholds, fit_prediction_sets
from zoo.models.decision import Floats
from zoo.tasks import Task

logger = logging.getLogger(__name__)

_DEFAULT = "least_ambiguous"

_MIN_IMAGES = 50
"""Validation images from which on `auto` fits a rule."""

_MIN_LABELED = 10
"""Images with a label, and without it, from which on its threshold is fitted."""


def fit_decision(
    predictions: Mapping[str, Floats], recipe: ResolvedRecipe, source: Source
) -> dict[str, Any]:
    """Fits prediction sets of classes and thresholds of labels, where the recipe has them.

    Args:
        predictions: Of the validation images, float32 [N, K] by task.
        recipe: The section `decision`.
        source: The validation images.

    Returns:
        What metrics.json holds as `decision`, see `pipelines.storage.split_metrics.Decision`;
        empty where nothing was fitted.
    """
    records: dict[str, TaskDecision] = {}
    for task in source.tasks:
        method = {
            "single_label": recipe.decision.sets,
            "multi_label": recipe.decision.thresholds,
        }.get(task.kind, "none")
        if method == "none" or not _has_images(task, method, recipe, len(source.val)):
            continue
        values, targets = predictions[task.name], source.val.targets[task.name]
        if np.isfinite(values).all():
            records[task.name] = _fit(task, method, values, targets, recipe)
    if not records:
        return {}
    return {**records[task.name]} if source.tasks[0].bare else {"tasks": records}


def _has_images(task: Task, method: str, recipe: ResolvedRecipe, count: int) -> bool:
    """Returns whether there are images to fit to, and says so where there are none."""
    what = "prediction sets" if task.kind == "single_label" else "thresholds of labels"
    if recipe.train.with_validation:
        logger.info(f"{what}: there are none, since the validation images were trained on")
        return False
    if method == "auto" and count < _MIN_IMAGES:
        logger.info(f"{what}: {count} validation images are too few to fit them to; there are none")
        return False
    return True


def _fit(
    task: Task, method: str, predictions: Floats, targets: Any, recipe: ResolvedRecipe
) -> TaskDecision:
    of = "" if task.bare else f" of {task.name}"
    if task.kind == "multi_label":
        thresholds = fit_label_thresholds(predictions, targets, _MIN_LABELED)
        logger.info(f"thresholds{of}: {_describe(thresholds, task)}")
        return TaskDecision(
            method="f1",
            num_images=len(targets),
            thresholds=dict(zip(task.class_names, thresholds, strict=True)),
        )
    method, rate = _DEFAULT if method == "auto" else method, recipe.decision.error_rate
    rule = fit_prediction_sets(predictions, targets, method, rate)
    members = rule.members(predictions)
    logger.info(
        f"prediction sets{of}: {members.sum(axis=1).mean():.3g} classes an image, {method}, to "
        f"hold the right one of {100 * (1 - rate):.3g} % of images"
        + ("; too few images to leave out any class" if rule.threshold == 1 else "")
    )
    return TaskDecision(
        method=method, error_rate=rate, threshold=rule.threshold, num_images=len(targets)
    )


def _describe(thresholds: tuple[float, ...], task: Task) -> str:
    """Returns the lowest and the highest threshold in words."""
    low, high = int(np.argmin(thresholds)), int(np.argmax(thresholds))
    return (
        f"{thresholds[low]:.2g} ({task.class_names[low]}) to "
        f"{thresholds[high]:.2g} ({task.class_names[high]}), by F1"
    )
