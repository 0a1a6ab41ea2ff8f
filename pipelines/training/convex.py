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
from tuning.linear_heads.strengths import Division
from zoo.models.standardization import Standardization

Logs = dict[str, float]
"""Metrics by name, as Keras logs them."""


class ConvexFit:
    """The rows and targets of a fit, and what each iteration reached.

    Args:
        division: The rows to fit to, and others to validate on; none of these validates nothing.
        num_classes: C.
        l2: Strength of ΣW².
        label_smoothing: Of the targets.
        statistics: What rows are standardized by; None leaves them as they are.

    Attributes:
        iterations: Metrics of each iteration: of training before its step, as an epoch has
            them, and of validation after it.
        wall_s: Seconds of each iteration.
    """

    def __init__(
        self,
        division: Division,
        num_classes: int,
        *,
        l2: float,
        label_smoothing: float,
        statistics: Standardization | None,
    ) -> None:
        self._l2 = l2
        standardize = statistics.apply if statistics else np.asarray
        num_views, _, num_features = division.rows.shape
        labels = np.tile(division.labels, num_views)
        weights = division.class_weights
        self._weights = None if weights is None else weights[labels]
        self._train = standardize(division.rows).reshape(-1, num_features)
        self._targets = division.targets(num_classes, label_smoothing)
        self._val: tuple[Floats, Floats] | None = None
        if len(division.held_labels):
            rows = standardize(division.held_rows)
            self._val = rows, one_hot(division.held_labels, num_classes, label_smoothing)
        self.iterations: list[Logs] = []
        self.wall_s: list[float] = []

    @classmethod
    def of(
        cls, recipe: ResolvedRecipe, feed: FeatureFeed, statistics: Standardization | None
    ) -> ConvexFit:
        """Returns the fit of a recipe's head.

        Args:
            recipe: The recipe of a linear head on features, without open settings.
            feed: The features.
            statistics: What they are standardized by; None leaves them as they are.
        """
        division = read_division(recipe, feed, validate=not recipe.trains_on_validation)
        (task,) = feed.source.tasks
        (config,) = recipe.task_configs.values()
        return cls(
            division,
            task.num_outputs,
            l2=recipe.penalty.l2,
            label_smoothing=config.label_smoothing,
            statistics=statistics,
        )

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

    def log_probabilities(self, head: LinearHead) -> Floats:
        """Returns what a head says of the rows to validate on, float32 [M, C].

        Raises:
            ValueError: There are none.
        """
        if self._val is None:
            raise ValueError("There are no rows to validate on.")
        return head.log_probabilities(self._val[0])


def read_division(
    recipe: ResolvedRecipe,
    feed: FeatureFeed,
    *,
    validate: bool = True,
    max_augmented: int | None = None,
) -> Division:
    """Reads the features that a linear head is fitted to, in several views.

    Args:
        recipe: Pooling and class weights.
        feed: The features.
        validate: Whether to read those of the validation images too.
        max_augmented: How many augmented views to read, at most; None reads all.
    """
    pooling, source = recipe.head.pooling, feed.source
    (task,) = source.tasks
    views = feed.features("train").read_views(pooling, max_augmented)
    return Division(
        views,
        source.train.labels,
        feed.features("val").read_views(pooling, 0)[0] if validate else views[0, :0],
        source.val.labels if validate else source.val.labels[:0],
        class_weights_of(recipe, source).get(task.name),
        standardize=recipe.train.standardize,
        soft_targets=source.train.soft_targets,
    )


def _measure(
    log_probabilities: Floats, targets: Floats, weights: Floats | None = None
) -> tuple[float, float]:
    """Returns mean loss and accuracy."""
    losses: Any = -np.einsum("nc,nc->n", targets, log_probabilities)
    if weights is not None:
        losses = losses * weights
    right = log_probabilities.argmax(axis=1) == targets.argmax(axis=1)
    return float(losses.mean(dtype=np.float64)), float(right.mean())
