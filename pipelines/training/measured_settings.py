"""Settings that are measured on features before training: augmentation and the L2 strength.

Heads are compared by the log loss of images they did not train on: of the validation images
where there are many, and otherwise of folds of the training images.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from pipelines.augment.operations import AnyOperation
from pipelines.features.batches import FeatureBatches
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Source
from pipelines.training.feeds import FeatureFeed, build_recipe_order, class_weights_of
from pipelines.training.head_specs import build_head_spec
from tuning.batched_heads.trainer import HeadTrainer
from tuning.folds import stratified_folds
from tuning.linear_heads.strengths import STRENGTHS, Division, choose_strength

logger = logging.getLogger(__name__)

_MANY = 1000
"""Validation images from which on they are enough to choose by."""

_MAX_IMAGES = 2000
"""Training images to measure on, at most; a choice is clear by then."""

_NUM_FOLDS = 5

_TRAINED_STRENGTHS = (0.0, *(10.0**exponent for exponent in np.arange(-5, -0.9, 0.5)))
"""Strengths for heads trained by gradient steps: no penalty, and 0.00001 to 0.1."""


@dataclass(frozen=True)
class _Score:
    """How a head did on images it did not train on.

    Args:
        l2: Its strength of L2.
        log_loss: Mean cross-entropy.
        tried: The log loss of each strength that was tried.
    """

    l2: float
    log_loss: float
    tried: dict[float, float]


def measure_settings(recipe: ResolvedRecipe, feed: FeatureFeed) -> ResolvedRecipe:
    """Decides what a recipe leaves open, and logs what was compared.

    Args:
        recipe: The recipe of a head on features.
        feed: The features; those of the candidate policy are computed here.

    Returns:
        The recipe without open settings.

    Raises:
        TrainingError: No head could be trained.
    """
    if not recipe.to_measure:
        return recipe
    source = _subset(feed.source, recipe.seed)
    divisions, how = _divide(source, recipe)
    if not divisions:
        logger.info("too few images to choose settings by: augmentation and penalty as usual")
        return recipe.without_measuring()
    policies: list[tuple[AnyOperation, ...]] = [recipe.augment.policy]
    if "augment.policy" in recipe.to_measure:
        policies.insert(0, ())
    score = _score_linear if recipe.is_convex else _score_trained
    scores = []
    for policy in policies:
        variant = recipe.with_measured(policy=policy)
        scores.append(score(variant, feed, source, divisions))
        logger.info(f"{_describe(variant, scores[-1])}; log loss of {how}")
    best = min(range(len(policies)), key=lambda i: scores[i].log_loss)
    if "augment.policy" in recipe.to_measure:
        recipe = recipe.with_measured(policy=policies[best])
        logger.info(f"chosen: augmentation {recipe.augment}")
    if "penalty.l2" in recipe.to_measure:
        recipe = recipe.with_measured(l2=scores[best].l2)
        logger.info(f"chosen: penalty.l2 = {scores[best].l2:.3g}")
    return recipe


def _describe(recipe: ResolvedRecipe, score: _Score) -> str:
    tried = ", ".join(f"{l2:.2g}: {loss:.3f}" for l2, loss in score.tried.items())
    policy = recipe.augment if recipe.augment.policy else "none"
    return f"augmentation {policy}: {score.log_loss:.4f} (penalty.l2 {tried})"


def _subset(source: Source, seed: int) -> Source:
    """Returns a source with at most 2,000 training images, of each class its share."""
    labels = source.train.labels
    if len(labels) <= _MAX_IMAGES:
        return source
    order = np.random.default_rng(seed).permutation(len(labels))
    # Images in order of their rank within their class, relative to its size.
    ranks = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        ranks[members] = (np.arange(len(members)) + 0.5) / len(members)
    taken = np.sort(np.argsort(ranks, kind="stable")[:_MAX_IMAGES])
    return replace(source, train=source.train.take(taken))


Pair = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]
"""Training images to fit to, and those to score on; None stands for the validation images."""


def _divide(source: Source, recipe: ResolvedRecipe) -> tuple[list[Pair], str]:
    """Returns how to divide images, and that in words; no division where there are too few."""
    labels = source.train.labels
    if len(source.val) >= _MANY and not recipe.train.with_validation:
        return [(np.arange(len(labels)), None)], f"{len(source.val)} validation images"
    num_folds = min(_NUM_FOLDS, int(np.bincount(labels, minlength=len(source.class_names)).min()))
    if num_folds < 2:
        return [], ""
    folds: list[Pair] = [*stratified_folds(labels, num_folds, recipe.seed)]
    return folds, f"{len(labels)} training images in {num_folds} folds"


def _score_linear(
    recipe: ResolvedRecipe, feed: FeatureFeed, source: Source, pairs: Sequence[Pair]
) -> _Score:
    """Scores a linear head, fitted to convergence at every strength."""
    pooling, (task,) = recipe.head.pooling, source.tasks
    array = feed.extractor.extract(source.train, recipe.num_views)
    rows = np.stack([array.read(pooling, views=view) for view in range(array.num_views)])
    labels, weights = source.train.labels, class_weights_of(recipe, source).get(task.name)

    def divide(fit: npt.NDArray[np.int64], held: npt.NDArray[np.int64] | None) -> Division:
        if held is None:
            held_rows = feed.features("val").read(pooling)
            return Division(rows, labels, held_rows, source.val.labels, weights)
        return Division(rows[:, fit], labels[fit], rows[0, held], labels[held], weights)

    (config,) = recipe.task_configs.values()
    choice = choose_strength(
        [partial(divide, *pair) for pair in pairs],
        task.num_outputs,
        strengths=STRENGTHS if "penalty.l2" in recipe.to_measure else (recipe.penalty.l2,),
        label_smoothing=config.label_smoothing,
    )
    return _Score(choice.l2, choice.log_loss, dict(choice.tried))


def _score_trained(
    recipe: ResolvedRecipe, feed: FeatureFeed, source: Source, pairs: Sequence[Pair]
) -> _Score:
    """Scores a head trained by gradient steps, at every strength side by side."""
    measures_l2 = "penalty.l2" in recipe.to_measure
    strengths = _TRAINED_STRENGTHS if measures_l2 else (recipe.penalty.l2,)
    trainer, losses = HeadTrainer(), np.zeros(len(strengths))
    for fit, held in pairs:
        part = replace(source, train=source.train.take(fit))
        if held is not None:
            part = replace(part, val=source.train.take(held))
        batches = _read_batches(recipe, feed, part)
        specs = [build_head_spec(recipe.with_measured(l2=l2), part) for l2 in strengths]
        outcomes = trainer.train(specs, batches)
        losses += [np.inf if outcome.failure else outcome.loss for outcome in outcomes]
    losses /= len(pairs)
    best = int(np.argmin(losses))
    return _Score(strengths[best], float(losses[best]), dict(zip(strengths, losses, strict=True)))


def _read_batches(recipe: ResolvedRecipe, feed: FeatureFeed, source: Source) -> FeatureBatches:
    return FeatureBatches(
        feed.extractor.extract(source.train, recipe.num_views),
        source.train,
        feed.extractor.extract(source.val, 0),
        source.val,
        recipe.head.pooling,
        build_recipe_order(recipe, source),
        len(source.class_names),
        standardize=recipe.train.standardize,
    )
