"""Losses and metrics that a model is compiled with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.recipe.task_sections import TaskConfig
from tuning.optimization.losses import build_loss
from zoo.tasks import Task, unwrap


def compile_arguments(tasks: Sequence[Task], configs: Mapping[str, TaskConfig]) -> dict[str, Any]:
    """Returns the losses, loss weights and metrics for `keras.Model.compile`.

    Classes and labels have an accuracy, that of labels over all of them at a threshold
    of one half. Numbers have their loss alone: the mean squared error of a standardized
    number is the share of its variance that is not explained.

    Args:
        tasks: What the model predicts.
        configs: The recipe's section for each, as `Recipe.all_tasks` has them.
    """
    import keras

    losses = {
        name: build_loss(
            task.chosen_loss,
            label_smoothing=task.label_smoothing,
            focal_gamma=task.focal_gamma,
        )
        for name, task in configs.items()
    }
    metrics: dict[str, list[Any]] = {}
    for name, task in configs.items():
        if task.kind == "single_label":
            metrics[name] = [keras.metrics.CategoricalAccuracy(name="accuracy")]
        elif task.kind == "multi_label":
            # A logit above 0 is a probability above one half.
            metrics[name] = [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)]
    arguments = {"loss": unwrap(tasks, losses), "metrics": unwrap(tasks, metrics)}
    if not tasks[0].bare:
        arguments["loss_weights"] = {name: task.weight for name, task in configs.items()}
    return arguments


def figures_in_words(tasks: Sequence[Task], logs: Mapping[str, Any], prefix: str = "") -> str:
    """Returns an epoch's figures for a line of progress.

    Args:
        tasks: What the model predicts.
        logs: What Keras measured.
        prefix: `val_` for the figures of validation.

    Example:
        >>> from zoo.tasks import CLASSIFICATION
        >>> figures_in_words([CLASSIFICATION], {"loss": 0.5, "accuracy": 0.75})
        'loss 0.5000, accuracy 0.7500'
        >>> size = Task("size", "regression")
        >>> figures_in_words([size], {"val_loss": 0.5, "val_size_loss": 0.5}, "val_")
        'loss 0.5000, size loss 0.5000'
    """
    parts = [f"loss {logs[f'{prefix}loss']:.4f}"]
    for task in tasks:
        stem, name = f"{prefix}{task.prefix}", "" if task.bare else f"{task.name} "
        figures = [figure for figure in ("accuracy", "loss") if f"{stem}{figure}" in logs]
        # Keras measures no loss of its own for a task that is the only one.
        parts += [f"{name}{figure} {logs[f'{stem}{figure}']:.4f}" for figure in figures[:1]]
    return ", ".join(parts)
