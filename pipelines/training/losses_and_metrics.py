"""Losses and metrics that a model is compiled with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.recipe.task_sections import TaskConfig
from tuning.optimization.distillation import build_distillation_loss, distillation_accuracy
from tuning.optimization.losses import build_loss
from zoo.tasks import Task, unwrap


def build_compile_arguments(
    tasks: Sequence[Task], configs: Mapping[str, TaskConfig], *, temperature: float = 0.0
) -> dict[str, Any]:
    """Returns the losses, loss weights and metrics for `keras.Model.compile`.

    Classes and labels have an accuracy, that of labels over all of them at a threshold
    of one half. Numbers have their loss alone: the mean squared error of a standardized
    number is the share of its variance that is not explained.

    Args:
        tasks: What the model predicts.
        configs: The recipe's section for each, as `Recipe.task_configs` has them.
        temperature: Of the teacher of a plain classifier; 0 without a teacher.
    """
    import keras

    if temperature:
        (config,) = configs.values()
        accuracy = keras.metrics.MeanMetricWrapper(distillation_accuracy, name="accuracy")
        loss = build_distillation_loss(temperature, config.label_smoothing)
        return {"loss": loss, "metrics": [accuracy]}

    losses = {name: _build_loss(task) for name, task in configs.items()}
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


def compute_image_metrics(
    task: Task, config: TaskConfig, targets: npt.NDArray[Any], logits: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Computes the loss and the accuracy of each image, whose means Keras reports.

    Args:
        task: Of classes or labels.
        config: The recipe's section for it.
        targets: int64 [N] or float32 [N, L].
        logits: float32 [N, K].

    Returns:
        float32 [2, N]: the loss, and 1 where the class is right; of labels the share that is.
    """
    if task.kind == "single_label":
        hits = logits.argmax(axis=1) == targets
        targets = np.eye(logits.shape[1], dtype=np.float32)[targets]
    else:
        hits = ((logits > 0) == (targets > 0.5)).mean(axis=1)
    loss = _build_loss(config)
    losses = np.asarray(getattr(loss, "call", loss)(targets, logits))
    return np.stack([losses, hits]).astype(np.float32)


def format_metrics(tasks: Sequence[Task], logs: Mapping[str, Any], prefix: str = "") -> str:
    """Formats an epoch's losses and accuracies for a line of progress.

    Args:
        tasks: What the model predicts.
        logs: The logs of a Keras epoch.
        prefix: `val_` for the metrics of validation.

    Example:
        >>> from zoo.tasks import CLASSIFICATION
        >>> format_metrics([CLASSIFICATION], {"loss": 0.5, "accuracy": 0.75})
        'loss 0.5000, accuracy 0.7500'
        >>> size = Task("size", "regression")
        >>> format_metrics([size], {"val_loss": 0.5, "val_size_loss": 0.5}, "val_")
        'loss 0.5000, size loss 0.5000'
    """
    parts = [f"loss {logs[f'{prefix}loss']:.4f}"]
    for task in tasks:
        stem, name = f"{prefix}{task.prefix}", "" if task.bare else f"{task.name} "
        # Keras logs no loss for the task of a model with one output, besides the total.
        metrics = [metric for metric in ("accuracy", "loss") if f"{stem}{metric}" in logs]
        parts += [f"{name}{metric} {logs[f'{stem}{metric}']:.4f}" for metric in metrics[:1]]
    return ", ".join(parts)


def _build_loss(config: TaskConfig) -> Any:
    return build_loss(
        config.chosen_loss,
        label_smoothing=config.label_smoothing,
        focal_gamma=config.focal_gamma,
        from_logits=True,
    )
