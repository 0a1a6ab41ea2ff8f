"""Temperature of a classifier's logits, folded into the layer that computes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.tasks import CLASSIFICATION, Task


def fold_temperature(classifier: Any, temperature: float, task: Task = CLASSIFICATION) -> None:
    """Divides the logits of a task by a temperature: the kernel and the bias of their layer.

    Args:
        classifier: From `build_classifier` or `build_multi_task`.
        temperature: T, above 0.
        task: Whose logits.
    """
    layer = classifier.get_layer(f"{task.prefix}logits")
    for variable in (layer.kernel, layer.bias):
        values = np.asarray(variable, np.float64) / temperature
        variable.assign(values.astype(np.float32))
