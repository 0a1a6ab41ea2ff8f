"""Predictions of a model for the images of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Examples
from zoo.tasks import Task, wrap


def compute_predictions(
    model: Any, recipe: ResolvedRecipe, examples: Examples, tasks: Sequence[Task]
) -> dict[str, npt.NDArray[np.float32]]:
    """Computes a model's predictions for a split.

    Args:
        model: A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to what `tasks` say.
        recipe: Its preprocessing and batch size are used.
        examples: The split.
        tasks: What the model predicts.

    Returns:
        float32 [N, K] by task.
    """
    images = build_image_dataset(examples, recipe.input.preprocessing, recipe.input.batch_size)
    return wrap(tasks, model.predict(images, verbose=0))
