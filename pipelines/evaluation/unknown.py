"""Metrics of unknown scores: how many images count as none of the classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.classification import wilson_interval
from pipelines.storage.split_metrics import UnknownMetrics

Scores = npt.NDArray[np.float32]


def compute_unknown_metrics(known: Scores, foreign: Scores | None = None) -> UnknownMetrics:
    """Computes the shares of images that are refused, and how well scores tell foreign ones.

    Args:
        known: Unknown scores of images of the classes, float32 [N].
        foreign: Of images of none of them, float32 [M]; None where there are none.
    """
    from sklearn.metrics import roc_auc_score

    metrics = UnknownMetrics(
        refused=float((known > 1).mean()),
        refused_interval=wilson_interval(int((known > 1).sum()), len(known)),
    )
    if foreign is None:
        return metrics
    is_foreign = np.repeat([False, True], [len(known), len(foreign)])
    return {
        **metrics,
        "num_foreign": len(foreign),
        "foreign_refused": float((foreign > 1).mean()),
        "foreign_refused_interval": wilson_interval(int((foreign > 1).sum()), len(foreign)),
        "auroc": float(roc_auc_score(is_foreign, np.concatenate([known, foreign]))),
    }
