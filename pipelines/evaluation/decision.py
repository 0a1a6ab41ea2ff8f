"""Metrics of prediction sets: how many hold the right class, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.classification import wilson_interval
from pipelines.storage.split_metrics import ClassMetrics, SetMetrics


def compute_set_metrics(
    labels: npt.NDArray[np.int64], members: npt.NDArray[np.bool_], class_names: Sequence[str]
) -> tuple[SetMetrics, dict[str, ClassMetrics]]:
    """Computes how often prediction sets hold the true class, and their sizes.

    Args:
        labels: The true classes, int64 [N], in 0 to C - 1.
        members: Which classes are in the set of each image, bool [N, C].
        class_names: C names in the order of the outputs.

    Returns:
        The metrics of all sets; and `coverage` and `set_size` of each class that has images.
    """
    covered, sizes = members[np.arange(len(labels)), labels], members.sum(axis=1)
    metrics = SetMetrics(
        coverage=float(covered.mean()),
        coverage_interval=wilson_interval(int(covered.sum()), len(covered)),
        size=float(sizes.mean()),
        single=float((sizes == 1).mean()),
        empty=float((sizes == 0).mean()),
    )
    of_class: dict[str, Any] = {
        name: {"coverage": float(covered[own].mean()), "set_size": float(sizes[own].mean())}
        for index, name in enumerate(class_names)
        if (own := labels == index).any()
    }
    return metrics, of_class
