"""Fit of a trained classifier's unknown scorer to images, and of its threshold to held-out ones."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.predictions import predict_images
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Source, join_examples
from pipelines.sources.splitting.groups import group_related
from pipelines.storage.split_metrics import UnknownRecord
from pipelines.training.feeds import FeatureFeed
from tuning.unknown_scores import UNKNOWN_METHODS, find_threshold
from zoo.models.trainable import build_pooling_model
from zoo.models.unknown import Floats, UnknownScorer

logger = logging.getLogger(__name__)

_DEFAULT = "neighbors"

_MIN_IMAGES = 50
"""Images to set the threshold by, from which on `auto` does so."""

_MAX_IMAGES = 10_000
"""Training images to fit to, and validation images to set the threshold by, at most."""

_MIN_THRESHOLD = 1e-6
"""Distance that is no more than rounding."""

_ROUNDING = 1e-4
"""By how much the threshold is above the distance that sets it: that image is not refused, however
a batch rounds."""

_MANY_IMAGES = 1000
"""Validation images from which on they alone set the threshold."""


def fit_unknown_scorer(
    model: Any, recipe: ResolvedRecipe, source: Source, features: FeatureFeed | None
) -> tuple[UnknownScorer | None, UnknownRecord]:
    """Fits what tells images of the classes from others, where the recipe has it.

    Validation images set the threshold. Where they are fewer than 1,000 and the backbone is
    frozen, so that its features know nothing of the training images, these do so too: each is
    scored by the others. The final scorer is then one of all.

    Args:
        model: The classifier, in float32 on one device.
        recipe: The section `unknown`, and how images are read.
        source: The training and validation images.
        features: What the head was trained on; None computes features from images.

    Returns:
        The scorer and what metrics.json holds as `unknown`; None and nothing where there is none.
    """
    method, (task, *others) = recipe.unknown.method, source.tasks
    if method == "none" or others or not task.bare:
        return None, {}
    frozen = recipe.backbone.frozen and not recipe.fine_tune.blocks
    # These may be training images.
    held_out = 0 if recipe.trains_on_validation else len(source.val)
    on_all = frozen and held_out < _MANY_IMAGES
    chosen = {"train": _spread(len(source.train)), "val": _spread(held_out)}
    count = sum(len(chosen[split]) for split in (("train", "val") if on_all else ("val",)))
    if count < (_MIN_IMAGES if method == "auto" else 2):
        logger.info(f"unknown: {count} images are too few to set a threshold by; there is none")
        return None, {}
    row = UNKNOWN_METHODS[_DEFAULT if method == "auto" else method]
    rows = {
        split: _read_pooled(model, recipe, source, features, split, indices)
        for split, indices in chosen.items()
        if len(indices)
    }
    try:
        if not all(np.isfinite(part).all() for part in rows.values()):
            raise ValueError("features are not finite")
        labels = [source.splits[split].labels[chosen[split]] for split in rows]
        if on_all:
            examples = [source.splits[split].take(chosen[split]) for split in rows]
            groups = group_related(join_examples(examples))
            all_rows, all_labels = np.concatenate([*rows.values()]), np.concatenate(labels)
            distances = row.score_held_out(all_rows, all_labels, recipe.seed, groups)
            scorer = row.fit(all_rows, all_labels)
        else:
            scorer = row.fit(rows["train"], labels[0])
            distances = scorer.distances(rows["val"])
        threshold = find_threshold(distances, recipe.unknown.share) * (1 + _ROUNDING)
        if threshold < _MIN_THRESHOLD:
            raise ValueError("the features of the images are all the same")
    except ValueError as error:
        logger.warning(f"unknown: there are no scores, since {error}")
        return None, {}
    logger.info(
        f"unknown: {row.name} distance over {threshold:.4g}, as {recipe.unknown.share:.3g} of "
        f"{count} images of the classes have"
    )
    record = UnknownRecord(
        method=row.name, share=recipe.unknown.share, threshold=threshold, num_images=count
    )
    return scorer.with_threshold(threshold), record


def _read_pooled(
    model: Any,
    recipe: ResolvedRecipe,
    source: Source,
    features: FeatureFeed | None,
    split: str,
    indices: npt.NDArray[np.int64],
) -> Floats:
    """Returns the features that a classifier's head reads, of images in plain view.

    Args:
        model: The classifier.
        recipe: How images are read, and pooling.
        source: The images.
        features: What the head was trained on; None computes features from images.
        split: Of which images.
        indices: int64 [N].

    Returns:
        float32 [N, F].
    """
    if features is not None:
        return features.features(split).read(recipe.head.pooling, indices)
    examples = source.splits[split].take(indices)
    rows: Floats = predict_images(build_pooling_model(model), recipe, examples)
    return rows


def _spread(count: int) -> npt.NDArray[np.int64]:
    """Returns indices below `count`, evenly spaced, and no more than are needed."""
    return np.linspace(0, count - 1, min(count, _MAX_IMAGES)).astype(np.int64)
