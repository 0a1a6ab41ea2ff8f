"""Fit of a linear head to convergence, on the features of a frozen backbone."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.training.feeds import FeatureFeed, class_weights_of
from tuning.linear_heads.logistic_regression import (
    Floats,
    LinearHead,
    fit_logistic_regression,
    one_hot,
)
from zoo.models.standardization import Standardization

Logs = dict[str, float]
"""Metrics by name, as Keras logs them."""


class ConvexFit:
    """The rows and targets of a fit, and what each iteration reached.

    Args:
        recipe: The recipe of a linear head on features, without open settings.
        feed: The features.
        statistics: What they are standardized by; None leaves them as they are.

    Attributes:
        iterations: Metrics of each iteration: of training before its step, as an epoch has
            them, and of validation after it.
        wall_s: Seconds of each iteration.
    """

    def __init__(
        self, recipe: ResolvedRecipe, feed: FeatureFeed, statistics: Standardization | None
    ) -> None:
        self._l2 = recipe.penalty.l2
        pooling, source = recipe.head.pooling, feed.source
        (task,) = source.tasks
        (config,) = recipe.task_configs.values()
        num_classes, smoothing = task.num_outputs, config.label_smoothing
        features = feed.features("train")
        views = features.read_views(pooling)
        standardize = statistics.apply if statistics else np.asarray
        labels = np.tile(source.train.labels, len(views))
        weights = class_weights_of(recipe, source).get(task.name)
        self._weights = None if weights is None else weights[labels]
        self._train = standardize(views).reshape(-1, views.shape[-1])
        self._targets = one_hot(labels, num_classes, smoothing)
        self._val: tuple[Floats, Floats] | None = None
        if not recipe.train.with_validation:
            rows = standardize(feed.features("val").read(pooling))
            self._val = rows, one_hot(source.val.labels, num_classes, smoothing)
        self.iterations: list[Logs] = []
        self.wall_s: list[float] = []

    def run(self, max_iterations: int) -> LinearHead:
        """Fits the head from zeros.

        Args:
            max_iterations: Iterations, at most.

        Returns:
            The head of standardized features.
        """
        started = time.perf_counter()
        zeros = LinearHead.zeros(self._train.shape[1], self._targets.shape[1])
        # It says the same of every row.
        known = np.broadcast_to(zeros.log_probabilities(self._train[:1]), self._targets.shape)

        def record(after: LinearHead, log_probabilities: Floats) -> None:
            nonlocal known, started
            loss, accuracy = _measure(known, self._targets, self._weights)
            logs = {"accuracy": accuracy, "loss": loss}
            if self._val:
                rows, targets = self._val
                found = _measure(after.log_probabilities(rows), targets)
                logs["val_loss"], logs["val_accuracy"] = found
            self.iterations.append(logs)
            self.wall_s.append(time.perf_counter() - started)
            known, started = log_probabilities, time.perf_counter()

        result = fit_logistic_regression(
            self._train,
            self._targets,
            self._l2,
            sample_weights=self._weights,
            max_iterations=max_iterations,
            on_iteration=record,
        )
        if not self.iterations:  # zeros are the best
            record(result, known)
        return result


def _measure(
    log_probabilities: Floats, targets: Floats, weights: Floats | None = None
) -> tuple[float, float]:
    """Returns mean loss and accuracy."""
    losses: Any = -np.einsum("nc,nc->n", targets, log_probabilities)
    if weights is not None:
        losses = losses * weights
    right = log_probabilities.argmax(axis=1) == targets.argmax(axis=1)
    return float(losses.mean(dtype=np.float64)), float(right.mean())
