"""Predictions of a model for the images of a split."""

from __future__ import annotations

from typing import Any

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.recipe.recipe import Recipe
from pipelines.sources.source import Examples


def answer(model: Any, recipe: Recipe, examples: Examples) -> Any:
    """Returns a model's answers for a split.

    Args:
        model: From float32 [B, S, S, 3] in 0 to 255 to probabilities, or to a
            dictionary of answers to named tasks.
        recipe: Whose transform and batch size are used.
        examples: The split.

    Returns:
        float32 [N, C], or a dictionary of float32 [N, K] by the tasks' names.
    """
    images = build_image_dataset(examples, recipe.input.preprocessing, recipe.input.batch_size)
    return model.predict(images, verbose=0)
