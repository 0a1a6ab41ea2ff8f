"""Results of a trial over folds: the mean of their scores, at one epoch for all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tuning.early_stopping import EarlyStopping, StoppingConfig
from tuning.hyperparameters.trial import Result


def mean_result(results: Sequence[Result]) -> Result:
    """Computes the mean of a trial's results over the folds.

    Args:
        results: The trial's result on each fold. If one failed, the mean is a failure.

    Returns:
        The mean score and loss; `score_std` is the standard deviation of the population of
        folds, not an estimate of that of the mean.

    Example:
        >>> mean_result([Result(0.5, None, 1.0, 3, 2), Result(1.0, None, 2.0, 5, 5)])
        Result(score=0.75, score_std=0.25, loss=1.5, epochs=5, best_epoch=4, failure='')
    """
    import numpy as np

    epochs = max(result.epochs for result in results)
    for number, result in enumerate(results, start=1):
        if result.score is None:
            return Result(epochs=epochs, failure=f"fold {number}: {result.failure}")
    scores = np.array([result.score for result in results], np.float64)
    losses = np.array([result.loss for result in results], np.float64)
    return Result(
        score=float(scores.mean()),
        score_std=float(scores.std()),
        loss=float(losses.mean()),
        epochs=epochs,
        best_epoch=round(sum(result.best_epoch for result in results) / len(results)),
    )


def result_at_common_epoch(
    results: Sequence[Result],
    histories: Sequence[Sequence[Mapping[str, Any]]],
    config: StoppingConfig,
) -> Result:
    """Computes the mean result over the folds at the epoch that is best for all together.

    The number of epochs is a setting that the best trial is trained again with, so it is chosen
    like one: each fold's own best epoch would score a trial by the luckiest of many epochs, and
    favor it over a head that is fitted to convergence and has only one.

    Args:
        results: The trial's result on each fold; more than one.
        histories: The epochs of each fold, from the first one on, with `val_loss` and the
            monitored metric where they were validated. A fold that ended early keeps its last
            values.
        config: Which metric tells the best epoch.

    Returns:
        As `mean_result`.
    """
    mean = mean_result(results)
    if mean.score is None:
        return mean
    validated = [
        {epoch: row for epoch, row in enumerate(history) if row.get("val_loss") is not None}
        for history in histories
    ]
    stopping, scored = EarlyStopping(config), {}
    for epoch in sorted(set().union(*validated)):
        rows = [_latest(by_epoch, epoch) for by_epoch in validated]
        parts = [Result(score=row[config.monitor], loss=row["val_loss"]) for row in rows]
        found = mean_result(parts)
        if math.isfinite(found.loss or 0.0):
            scored[epoch] = found
            stopping.update(epoch, {config.monitor: found.score, "val_loss": found.loss})
    if not scored:
        return Result(epochs=mean.epochs, failure="the validation loss is not finite")
    best = stopping.best_epoch
    return replace(scored[best], epochs=mean.epochs, best_epoch=best + 1)


def _latest(by_epoch: Mapping[int, Mapping[str, Any]], epoch: int) -> Mapping[str, Any]:
    """Returns the metrics of an epoch, or of the latest validated one before it."""
    return by_epoch[max(number for number in by_epoch if number <= epoch)]
