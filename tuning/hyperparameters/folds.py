"""Cross-validation: stratified folds, and the mean result over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuning.hyperparameters.trial import Result
from zoo.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def stratified_folds(
    labels: npt.NDArray[np.int64], num_folds: int, seed: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Splits images into folds of the same class frequencies.

    Args:
        labels: int64 [N], the class of each image.
        num_folds: K, at least 2.
        seed: Seeds the shuffling.

    Returns:
        K pairs of int64 indices, for training and for validation. Each image is in the
        validation part of exactly one fold.

    Raises:
        DataError: A class has fewer images than there are folds.
    """
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    _, sizes = np.unique(labels, return_counts=True)
    if sizes.min() < num_folds:
        raise DataError(
            "a class has fewer images than there are folds",
            expected=f"at least {num_folds} of each class",
            received=str(sizes.min()),
            mend="lower --folds, or add images",
        )
    folds = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
    return list(folds.split(np.zeros(len(labels)), labels))


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
