"""Factors and shifts of a classifier's logits, folded into the layer that computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.tasks import CLASSIFICATION, Task


def fold_vector_scaling(
    classifier: Any,
    scale: npt.NDArray[np.float64],
    shift: npt.NDArray[np.float64],
    task: Task = CLASSIFICATION,
) -> None:
    """Changes each logit z of a task to w · z + b, by the kernel and the bias of their layer.

    Args:
        classifier: From `build_classifier` or `build_multi_task`.
        scale: w, float64 [K].
        shift: b, float64 [K].
        task: Whose logits.
    """
    layer = classifier.get_layer(f"{task.prefix}logits")
    kernel, bias = (np.asarray(value, np.float64) for value in (layer.kernel, layer.bias))
    layer.kernel.assign((kernel * scale).astype(np.float32))
    layer.bias.assign((bias * scale + shift).astype(np.float32))
