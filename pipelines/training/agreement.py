"""Agreement of a head trained on features with the whole model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.evaluation.predictions import answer
from pipelines.input_pipeline.tf_data import map_graph
from pipelines.recipe.recipe import Recipe
from pipelines.sources.source import Source
from pipelines.training.feeds import FeatureFeed
from zoo.errors import EngineError
from zoo.models.classifier import build_probability_model

# A feature may be 1e-4 of the largest off, and a head of many layers makes that more.
_TOLERANCE = 1e-3


def answer_splits(
    model: Any, recipe: Recipe, source: Source, features: FeatureFeed | None
) -> dict[str, Any]:
    """Returns a trained model's answers for every split of what it was trained on.

    A head that was trained on features answers from them; the whole model has to agree
    on the first batch of validation.

    Args:
        model: As `answer` takes it.
        recipe: Likewise.
        source: The images.
        features: What the head was trained on, or None.

    Raises:
        EngineError: The whole model does not agree.
    """
    if features is None:
        return {name: answer(model, recipe, part) for name, part in source.splits.items()}
    head = build_probability_model(model)
    answers = {
        name: head.predict(map_graph(features.dataset(name), lambda rows, _: rows), verbose=0)
        for name in source.splits
    }
    some = range(min(recipe.input.batch_size, len(source.val)))
    check_agreement(answers["val"], answer(model, recipe, source.val.take(some)))
    return answers


def check_agreement(from_features: Any, whole: Any) -> None:
    """Checks that answers from features are the whole model's.

    Args:
        from_features: float32 [N, K], or a dictionary of such by task.
        whole: The same of the first images alone.

    Raises:
        EngineError: They are not.
    """
    if not isinstance(whole, Mapping):
        from_features, whole = {"": from_features}, {"": whole}
    for name, expected in whole.items():
        error = float(np.abs(from_features[name][: len(expected)] - expected).max())
        if not error <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise EngineError(
                "the head does not answer from features as the whole model does",
                expected=f"the same within {_TOLERANCE:g}",
                received=f"{error:.2g} apart",
                mend="--set features.engine=keras, or features.use=false",
            )
