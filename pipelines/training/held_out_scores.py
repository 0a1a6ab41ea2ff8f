"""Scores of heads on features, by the log loss of images that they were not fitted to.

These are the validation images where there are many, and otherwise folds of the training images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from pipelines.features.batches import FeatureBatches
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Source
from pipelines.sources.splitting.groups import group_related
from pipelines.training.feeds import FeatureFeed, build_recipe_order, class_weights_of
from pipelines.training.head_specs import build_head_spec
from tuning.batched_heads.trainer import HeadTrainer
from tuning.folds import count_folds, stratified_folds, stratified_subset
from tuning.linear_heads.strengths import STRENGTHS, Division, choose_strength

_MANY = 1000
"""Validation images from which on they are enough to choose by."""

_MAX_IMAGES = 2000
"""Training images to measure on, at most; a choice is clear by then."""

MEASURED_VIEWS = 2
"""Augmented views of each image to measure a policy by, at most: most of its effect shows."""

_FOLDS_WITH_VIEWS = 2
"""How many of the folds are scored where every image has several views: each fit takes longer."""

_TRAINED_STRENGTHS = (*(10.0**exponent for exponent in np.arange(-1, -5.1, -0.5)), 0.0)
"""Strengths for heads trained by gradient steps: 0.1 to 0.00001, and no penalty."""

Pair = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]
"""Training images to fit to, and those to score on; None stands for the validation images."""


@dataclass(frozen=True)
class Score:
    """How heads did on images they were not fitted to.

    Args:
        l2: The strength of L2 with the lowest log loss.
        losses: float32 [M], its cross-entropy on each of M images, or their mean alone.
        tried: The log loss of each strength that was tried.
    """

    l2: float
    losses: npt.NDArray[np.float32]
    tried: Mapping[float, float]


class HeldOutScores:
    """Scores heads on the same images, all of them.

    Args:
        recipe: Seed, validation and head.
        source: The images; some of the training images if there are many.
    """

    def __init__(self, recipe: ResolvedRecipe, source: Source) -> None:
        train = source.train
        if len(train) > _MAX_IMAGES:
            train = train.take(stratified_subset(train.labels, _MAX_IMAGES, recipe.seed))
            source = replace(source, train=train)
        self.source, self._pairs = source, _divide(source, recipe)
        self._score = _score_linear if recipe.is_convex else _score_trained

    def __bool__(self) -> bool:
        """Whether there are enough images to score by."""
        return bool(self._pairs)

    def strengths(self, recipe: ResolvedRecipe) -> tuple[float, ...]:
        """Returns the strengths of L2 to try, in falling order: a recipe's, if it gives one."""
        if "penalty.l2" not in recipe.to_measure:
            return (recipe.penalty.l2,)
        return STRENGTHS if recipe.is_convex else _TRAINED_STRENGTHS

    def score(
        self,
        recipe: ResolvedRecipe,
        feed: FeatureFeed,
        strengths: Sequence[float],
        num_views: int | None = None,
    ) -> Score:
        """Scores the heads of a recipe at each strength.

        Args:
            recipe: Its augmented views are computed here, if it has any.
            feed: The features.
            strengths: Of L2, in falling order.
            num_views: Augmented views of each image; None takes those of the recipe, two of
                them at most.

        Raises:
            TrainingError: No head could be trained.
        """
        if num_views is None:
            num_views = min(recipe.num_views, MEASURED_VIEWS)
        return self._score(recipe, feed, self.source, self._pairs, strengths, num_views)


def _divide(source: Source, recipe: ResolvedRecipe) -> list[Pair]:
    """Returns how to divide images; no division where there are too few."""
    labels = source.train.labels
    if len(source.val) >= _MANY and not recipe.trains_on_validation:
        return [(np.arange(len(labels)), None)]
    groups = group_related(source.train)
    num_folds = count_folds(labels, len(source.class_names), groups)
    if not num_folds:
        return []
    folds = stratified_folds(labels, num_folds, recipe.seed, groups)
    soft = source.train.soft_targets
    if soft is not None:  # what a teacher took for its label scores nothing
        folds = [(fit, held[soft.labeled[held]]) for fit, held in folds]
    return [*folds]


def _score_linear(
    recipe: ResolvedRecipe,
    feed: FeatureFeed,
    source: Source,
    pairs: Sequence[Pair],
    strengths: Sequence[float],
    num_views: int,
) -> Score:
    """Scores linear heads, fitted to convergence at every strength."""
    pooling, (task,) = recipe.head.pooling, source.tasks
    (config,) = recipe.task_configs.values()
    array = feed.extract(source.train, num_views)
    rows = array.read_views(pooling)
    labels, soft = source.train.labels, source.train.soft_targets
    weights = class_weights_of(recipe, source).get(task.name)

    def divide(fit: npt.NDArray[np.int64], held: npt.NDArray[np.int64] | None) -> Division:
        if held is None:
            held_rows = feed.features("val").read(pooling)
            division = Division(rows, labels, held_rows, source.val.labels, weights)
        else:
            division = Division(rows[:, fit], labels[fit], rows[0, held], labels[held], weights)
        return replace(
            division, standardize=recipe.train.standardize, soft_targets=soft and soft.take(fit)
        )

    if array.num_views > 1:
        pairs = pairs[:_FOLDS_WITH_VIEWS]
    choice = choose_strength(
        [partial(divide, *pair) for pair in pairs],
        task.num_outputs,
        strengths=strengths,
        label_smoothing=config.label_smoothing,
    )
    return Score(choice.l2, choice.losses, choice.tried)


def _score_trained(
    recipe: ResolvedRecipe,
    feed: FeatureFeed,
    source: Source,
    pairs: Sequence[Pair],
    strengths: Sequence[float],
    num_views: int,
) -> Score:
    """Scores heads trained by gradient steps, all strengths side by side, on the first pair."""
    fit, held = pairs[0]
    part = replace(source, train=source.train.take(fit))
    if held is not None:
        part = replace(part, val=source.train.take(held))
    specs = [build_head_spec(recipe.with_measured(l2=l2), part) for l2 in strengths]
    outcomes = HeadTrainer().train(specs, _read_batches(recipe, feed, part, num_views))
    losses = np.array([np.inf if o.failure else o.loss for o in outcomes], np.float32)
    best = int(np.argmin(losses))
    tried = dict(zip(strengths, losses.tolist(), strict=True))
    return Score(strengths[best], losses[best : best + 1], tried)


def _read_batches(
    recipe: ResolvedRecipe, feed: FeatureFeed, source: Source, num_views: int
) -> FeatureBatches:
    return FeatureBatches(
        feed.extract(source.train, num_views),
        source.train,
        feed.extract(source.val, 0),
        source.val,
        recipe.head.pooling,
        build_recipe_order(recipe, source),
        len(source.class_names),
        standardize=recipe.train.standardize,
    )
