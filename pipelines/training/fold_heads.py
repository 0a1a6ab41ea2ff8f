"""Mean of linear heads, each fitted without one fold of the images, and what each says of its fold.

No image is spared for validation: every one is fitted to by all heads but one, and judged by that
one (cross-fitting). The mean of linear heads is a linear head, so nothing is larger or slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Examples
from pipelines.sources.splitting.groups import group_related
from pipelines.training.convex import ConvexFit, Logs, read_division
from pipelines.training.feeds import FeatureFeed, class_weights_of
from tuning.folds import stratified_folds
from tuning.linear_heads.logistic_regression import Floats, LinearHead
from tuning.linear_heads.strengths import Division
from zoo.large_arrays import empty_floats, row_blocks
from zoo.models.standardization import Standardization

Ints = npt.NDArray[np.int64]


class FoldHeads:
    """The fits of the heads of all folds, and what each iteration reached.

    Args:
        recipe: The recipe of a linear head on features, with `train.folds`.
        feed: The features; its training images are all that there are but the test images.
        statistics: What they are standardized by; None leaves them as they are.
        folds: Which of these images each head is fitted to, and which it is held out from.

    Attributes:
        iterations: As of `pipelines.training.convex.ConvexFit`, means over the folds; a fit that
            has ended keeps its last metrics.
        wall_s: Seconds of each iteration, of all folds together.
        logits: Of each training image, by the head that it was held out from, float32 [N, C].
    """

    def __init__(
        self,
        recipe: ResolvedRecipe,
        feed: FeatureFeed,
        statistics: Standardization | None,
        folds: Sequence[tuple[Ints, Ints]],
    ) -> None:
        self._recipe, self._feed, self._statistics = recipe, feed, statistics
        self._folds = folds
        self.iterations: list[Logs] = []
        self.wall_s: list[float] = []
        self.logits: Floats = np.zeros((0, 0), np.float32)

    def run(self, max_iterations: int) -> LinearHead:
        """Fits the heads from zeros.

        Args:
            max_iterations: Iterations of each, at most.

        Returns:
            Their mean, a head of standardized features.
        """
        recipe, (task,) = self._recipe, self._feed.source.tasks
        (config,) = recipe.task_configs.values()
        whole = read_division(recipe, self._feed, validate=False)
        self.logits = np.empty((len(whole.labels), task.num_outputs), np.float32)
        plain, logs, seconds = [], [], []
        for fitted, held in self._folds:
            division = self._take(whole, fitted, held)
            own = Standardization.fit(division.rows[0]) if division.standardize else None
            fit = ConvexFit(
                division,
                task.num_outputs,
                l2=recipe.penalty.l2,
                label_smoothing=config.label_smoothing,
                statistics=own,
            )
            head = fit.run(max_iterations)
            self.logits[held] = fit.log_probabilities(head)
            # Not the fit, which holds its rows.
            logs.append(fit.iterations)
            seconds.append(fit.wall_s)
            plain.append(_of_plain_features(head, own))
        self.iterations = _mean_logs(logs)
        self.wall_s = [
            sum(part[number] for part in seconds if number < len(part))
            for number in range(len(self.iterations))
        ]
        kernel, bias = (np.mean(parts, axis=0) for parts in zip(*plain, strict=True))
        return _of_standardized_features(kernel, bias, self._statistics)

    def _take(self, whole: Division, fitted: Ints, held: Ints) -> Division:
        """Returns the rows to fit to, and those of the fold that is held out."""
        source = replace(self._feed.source, train=self._feed.source.train.take(fitted))
        (task,) = source.tasks
        return replace(
            whole,
            rows=_take_rows(whole.rows, fitted),
            labels=whole.labels[fitted],
            held_rows=_take_rows(whole.rows[:1], held)[0],
            held_labels=whole.labels[held],
            class_weights=class_weights_of(self._recipe, source).get(task.name),
            soft_targets=source.train.soft_targets,
        )


def _take_rows(rows: Floats, images: Ints) -> Floats:
    """Returns the rows of some images in each view, float32 [V, n, F]."""
    taken = empty_floats(len(rows), len(images), rows.shape[2])
    for view, own in zip(rows, taken, strict=True):
        for block in row_blocks(len(images)):
            own[block] = view[images[block]]
    return taken


def divide(examples: Examples, count: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Divides images into stratified folds, related images always into one.

    Args:
        examples: The images.
        count: Number of folds, at least 2.
        seed: Seed of the division.

    Returns:
        Of each fold the indices of the other images, and of its own.

    Raises:
        DataError: A class has fewer images, or groups of them, than there are folds.
    """
    return stratified_folds(examples.labels, count, seed, group_related(examples))


def _of_plain_features(
    head: LinearHead, statistics: Standardization | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the kernel and the bias that give the same logits for plain features."""
    kernel, bias = head.kernel.astype(np.float64), head.bias.astype(np.float64)
    if statistics is None:
        return kernel, bias
    kernel = kernel / statistics.std[:, np.newaxis]
    return kernel, bias - statistics.mean.astype(np.float64) @ kernel


def _of_standardized_features(
    kernel: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64],
    statistics: Standardization | None,
) -> LinearHead:
    """Returns the head that gives the same logits for standardized features."""
    if statistics is not None:
        bias = bias + statistics.mean.astype(np.float64) @ kernel
        kernel = kernel * statistics.std[:, np.newaxis]
    return LinearHead(kernel.astype(np.float32), bias.astype(np.float32))


def _mean_logs(parts: Sequence[Sequence[Logs]]) -> list[Logs]:
    """Returns the mean metrics of each iteration, as long as any fit went on."""
    longest = max(map(len, parts))
    rows = [[part[min(number, len(part) - 1)] for part in parts] for number in range(longest)]
    return [{name: float(np.mean([logs[name] for logs in row])) for name in row[0]} for row in rows]
