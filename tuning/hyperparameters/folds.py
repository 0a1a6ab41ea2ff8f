"""Folds: the same settings scored on several divisions of the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuning.hyperparameters.trial import Result
from zoo.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def stratified_folds(
    labels: npt.NDArray[np.int64], count: int, seed: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Divides images into folds that each hold every class's share.

    Args:
        labels: int64 [N], the class of each image.
        count: K, at least 2.
        seed: Another one makes other folds.

    Returns:
        K pairs of indices, int64: those to train on and those to validate on. Every image
        is validated on once.

    Raises:
        DataError: A class has fewer images than there are folds.
    """
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    _, sizes = np.unique(labels, return_counts=True)
    if sizes.min() < count:
        raise DataError(
            "a class has fewer images than there are folds",
            expected=f"at least {count} of each class",
            received=str(sizes.min()),
            mend="lower --folds, or add images",
        )
    folds = StratifiedKFold(count, shuffle=True, random_state=seed)
    return list(folds.split(np.zeros(len(labels)), labels))


def mean_result(results: Sequence[Result]) -> Result:
    """Returns the mean over folds, and the standard deviation of the folds themselves.

    Args:
        results: Of one trial on each fold; if any failed, the trial did.

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
