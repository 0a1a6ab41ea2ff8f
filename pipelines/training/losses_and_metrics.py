"""Objective: what training makes small, and the figures by which it is watched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.recipe.task_sections import TaskConfig
from tuning.optimization.losses import build_loss
from zoo.tasks import pack


def compile_arguments(tasks: Mapping[str, TaskConfig]) -> dict[str, Any]:
    """Returns what `keras.Model.compile` takes for the losses, weights and metrics of tasks.

    Classes are watched by accuracy, labels by the share of answers that are right,
    each asked with yes or no, numbers by their loss alone: the mean squared error of
    a standardized number is the share of its variance that is not explained.

    Args:
        tasks: As `Recipe.all_tasks` has them.
    """
    import keras

    losses = {
        name: build_loss(
            task.chosen_loss,
            label_smoothing=task.label_smoothing,
            focal_gamma=task.focal_gamma,
        )
        for name, task in tasks.items()
    }
    metrics: dict[str, list[Any]] = {}
    for name, task in tasks.items():
        if task.kind == "single_label":
            metrics[name] = [keras.metrics.CategoricalAccuracy(name="accuracy")]
        elif task.kind == "multi_label":
            # A logit above 0 is a probability above one half.
            metrics[name] = [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)]
    if "" in tasks:
        return {"loss": losses[""], "metrics": metrics[""]}
    weights = {name: task.weight for name, task in tasks.items()}
    return {"loss": pack(losses), "loss_weights": weights, "metrics": metrics}


def figures_in_words(tasks: Iterable[str], logs: Mapping[str, Any], prefix: str = "") -> str:
    """Returns an epoch's figures for a line of progress.

    Args:
        tasks: The tasks' names; the empty one alone for the classes.
        logs: What Keras measured.
        prefix: `val_` for those of validation.

    Example:
        >>> figures_in_words([""], {"loss": 0.5, "accuracy": 0.75})
        'loss 0.5000, accuracy 0.7500'
        >>> figures_in_words(["size"], {"val_loss": 0.5, "val_size_loss": 0.5}, "val_")
        'loss 0.5000, size loss 0.5000'
    """
    parts = [f"loss {logs[f'{prefix}loss']:.4f}"]
    for task in tasks:
        stem, name = (f"{prefix}{task}_", f"{task} ") if task else (prefix, "")
        figures = [figure for figure in ("accuracy", "loss") if f"{stem}{figure}" in logs]
        # Keras measures no loss of its own for a task that is the only one.
        parts += [f"{name}{figure} {logs[f'{stem}{figure}']:.4f}" for figure in figures[:1]]
    return ", ".join(parts)
