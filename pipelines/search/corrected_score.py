"""Score of the best trial on other images than those that chose it, as search.json states it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.evaluation.classification import wilson_interval
from pipelines.sources.source import Source, join_examples
from pipelines.sources.splitting.groups import group_related
from tuning.hyperparameters.search import Journal, Search
from tuning.hyperparameters.selection_bias import NUM_SAMPLES, correct_score


def correct_best_score(
    search: Search,
    journal: Journal,
    divisions: Sequence[Source],
    *,
    monitor: str,
    seed: int,
) -> dict[str, Any] | None:
    """Corrects the score of the best trial for its being the best of many.

    Args:
        search: The search, finished.
        journal: Its results.
        divisions: The images, one source for each fold.
        monitor: The name of the score, `val_accuracy` or `val_loss`.
        seed: Seeds the resamples.

    Returns:
        JSON values: `score`; `interval`, of 95 %; `images`, the number of validation images;
        `trials`; `resamples`. None where some trial does not say what each image scored, or
        images are too few.

    Raises:
        RunError: The scores of a trial's images are damaged.
    """
    ids = [trial.id for trial, result in search.completed if result.score is not None]
    if not all(journal.has_image_scores(id) for id in ids):
        return None
    folds = np.repeat(np.arange(len(divisions)), [len(part.val) for part in divisions])
    corrected = correct_score(
        map(journal.image_scores, ids),
        folds,
        group_related(join_examples([part.val for part in divisions])),
        maximize=monitor == "val_accuracy",
        seed=seed,
    )
    if corrected is None:
        return None
    low, high = corrected.low, corrected.high
    if monitor == "val_accuracy":
        # Where all resamples are right, quantiles know no other possibility.
        wilson = wilson_interval(round(corrected.score * len(folds)), len(folds))
        low, high = min(low, wilson[0]), max(high, wilson[1])
    return {
        "score": corrected.score,
        "interval": [low, high],
        "images": len(folds),
        "trials": len(ids),
        "resamples": NUM_SAMPLES,
    }
