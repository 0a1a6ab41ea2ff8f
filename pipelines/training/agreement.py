"""Answers for every split, and the agreement of a head trained on features with the whole model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.predictions import Answers, compute_answers, compute_predictions
from pipelines.features.feature_array import FeatureArray
from pipelines.input_pipeline.tf_data import map_graph
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.scanning.changes import are_present
from pipelines.sources.source import Source
from pipelines.training.feeds import FeatureFeed
from zoo.errors import EngineError
from zoo.models.trainable import build_probability_model
from zoo.models.unknown import UnknownScorer
from zoo.tasks import Task, wrap

logger = logging.getLogger(__name__)

# Features may differ by 1e-4 of the largest, which a head of many layers amplifies.
_TOLERANCE = 1e-3

_BATCH_SIZE = 1024
"""Rows of features that a head predicts from at once; a head alone needs little memory."""


def compute_split_answers(
    model: Any,
    scorer: UnknownScorer | None,
    recipe: ResolvedRecipe,
    source: Source,
    features: FeatureFeed | None,
) -> dict[str, Answers]:
    """Computes a trained model's predictions and unknown scores for every split.

    A head trained on features predicts from those; the whole model has to agree on the
    first batch of validation, unless the images are gone and only their features are there.

    Args:
        model: As `compute_predictions` takes it.
        scorer: Of the features of its head; None computes no scores.
        recipe: Its preprocessing and batch size are used.
        source: The images.
        features: What the head was trained on; None predicts from the images.

    Raises:
        EngineError: The whole model does not agree.
    """
    tasks = source.tasks
    if features is None:
        return {
            name: compute_answers(model, scorer, recipe, part, tasks)
            for name, part in source.splits.items()
        }
    head, pooling = build_probability_model(model), recipe.head.pooling
    answers = {
        name: Answers(
            predict_features(head, features, name, tasks),
            _score(scorer, features.features(name), pooling) if scorer else None,
        )
        for name in source.splits
    }
    first_batch = source.val.take(range(min(recipe.input.batch_size, len(source.val))))
    if not are_present(first_batch):
        logger.info("the images are not there: the whole model is not compared with its head")
        return answers
    whole = compute_predictions(model, recipe, first_batch, tasks)
    check_agreement(answers["val"].predictions, whole)
    return answers


def _score(scorer: UnknownScorer, features: FeatureArray, pooling: str) -> npt.NDArray[np.float32]:
    """Returns the unknown scores of all images, float32 [N]."""
    parts = [scorer.scores(rows) for rows in features.read_blocks(pooling)]
    return np.concatenate([np.empty(0, np.float32), *parts])


def predict_features(
    head: Any, features: FeatureFeed, split: str, tasks: Sequence[Task]
) -> dict[str, npt.NDArray[np.float32]]:
    """Computes the outputs of a head for the features of a split.

    Args:
        head: A `keras.Model` from pooled features float32 [B, F].
        features: The features.
        split: Whose.
        tasks: What the head has outputs for.

    Returns:
        float32 [N, K] by task.
    """
    rows = map_graph(features.dataset(split, _BATCH_SIZE), lambda rows, _: rows)
    return wrap(tasks, head.predict(rows, verbose=0))


def check_agreement(
    from_features: Mapping[str, npt.NDArray[np.float32]],
    whole: Mapping[str, npt.NDArray[np.float32]],
) -> None:
    """Checks that predictions from features are those of the whole model.

    Args:
        from_features: float32 [N, K] by task.
        whole: The same for the first images alone.

    Raises:
        EngineError: A prediction differs.
    """
    for name, expected in whole.items():
        error = float(np.abs(from_features[name][: len(expected)] - expected).max())
        if not error <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise EngineError(
                "the head predicts from features otherwise than the whole model does",
                expected=f"the same within {_TOLERANCE:g}",
                received=f"{error:.2g} apart",
                mend="--set features.engine=keras, or features.use=false",
            )
