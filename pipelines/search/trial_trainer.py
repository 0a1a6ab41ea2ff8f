"""Trial trainer: the trials of a search on one machine, as many at once as possible."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.features.batches import FeatureBatches
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import Devices
from pipelines.search.lone_trials import LoneTrials, scored
from pipelines.search.trial_features import TrialFeatures, feature_key
from pipelines.sources.source import Source, join_examples
from pipelines.training.convex import read_division
from pipelines.training.feeds import build_recipe_order
from pipelines.training.fold_heads import divide
from pipelines.training.head_specs import build_head_spec
from pipelines.training.held_out_scores import MEASURED_VIEWS
from pipelines.training.measured_settings import measure_settings
from tuning.batched_heads.head_run import Outcome
from tuning.batched_heads.head_spec import HeadSpec, structure_of
from tuning.batched_heads.trainer import HeadTrainer, can_stack
from tuning.hyperparameters.fold_results import mean_result, result_at_common_epoch
from tuning.hyperparameters.image_scores import MOST_IMAGES, ImageScores, join_folds
from tuning.hyperparameters.trial import Result, Trial
from tuning.linear_heads.logistic_regression import MAX_ITERATIONS
from tuning.linear_heads.strengths import STRENGTHS, choose_strength, neighbors
from zoo.errors import InputError

logger = logging.getLogger(__name__)


@dataclass
class _Group:
    """Trials that train at once: on the same features, with heads of one shape.

    Args:
        rows: Features and labels, one for each division.
        trials: Ids of the trials.
        specs: Of each trial, its head on each division.
    """

    rows: Sequence[FeatureBatches]
    trials: list[str] = field(default_factory=list)
    specs: list[list[HeadSpec]] = field(default_factory=list)


class TrialTrainer:
    """Trains trials on this machine.

    Heads on frozen backbones train on features that are computed once, all heads of one
    shape at the same time. Other trials train as `zoo train` does, one by one, most of them
    in another process, which `close` ends.

    Args:
        recipe: The recipe whose settings trials change.
        searched: The paths of those settings.
        source: The images.
        devices: What to train on.
        folds: Folds that all images except the test images are divided into; 0 keeps the
            source's own division.
        scratch: A folder for checkpoints of trials that train alone.
        num_places: Places below the backbone's output that trials read features at.
        activations: The activations that heads may have. One that is missing here has every
            graph traced again when it first occurs.
        strengths: Strengths of L2 that linear heads are fitted with, where trials leave it open.
    """

    def __init__(
        self,
        recipe: Recipe,
        searched: Sequence[str],
        source: Source,
        devices: Devices,
        *,
        folds: int,
        scratch: Path,
        num_places: int = 0,
        activations: Sequence[str] = (),
        strengths: Sequence[float] = STRENGTHS,
    ) -> None:
        self.recipe, self.searched, self.source = recipe, searched, source
        self.devices, self.scratch = devices, scratch
        self.divisions = divide_into_folds(source, folds, recipe.seed) if folds else [source]
        self._lone = LoneTrials(self.divisions, devices, scratch)
        self._heads = HeadTrainer(activations)
        self.features = TrialFeatures(self.divisions, devices, num_places=num_places)
        self._folds, self._num_places, self._activations = folds, num_places, activations
        self._strengths = strengths
        self._convex: dict[str, Result] = {}
        self._rows: dict[Hashable, list[FeatureBatches]] = {}

    def close(self) -> None:
        """Ends the other process, if there is one."""
        self._lone.close()

    @property
    def shared(self) -> dict[str, Any]:
        """What a trainer of the same trials is built from elsewhere, once this one is prepared.

        Arguments of `TrialTrainer` but for `devices` and `scratch`, which that place has.
        """
        return {
            "recipe": self.recipe,
            "searched": self.searched,
            "source": self.source.without_pixels(),
            "folds": self._folds,
            "num_places": self._num_places,
            "activations": self._activations,
            "strengths": self._strengths,
        }

    @property
    def extract_s(self) -> float:
        """Seconds spent on computing features so far, or on finding them."""
        return self.features.extract_s

    def build_recipe(self, trial: Trial) -> Recipe:
        """Returns the recipe of a trial.

        A linear head is fitted to convergence, whatever the number of epochs of the others.

        Raises:
            RecipeError: A value does not fit.
        """
        recipe = self.recipe.override(trial.values, reset=self.searched)
        resolved = recipe.resolve()
        if "features.views" in resolved.to_measure:  # of a policy that is searched
            recipe = recipe.override({"features.views": resolved.features.views})
        if resolved.is_convex:
            return recipe.override({"train.epochs": MAX_ITERATIONS})
        if "penalty.l2" in resolved.to_measure:
            # To search strengths is what trials are for.
            usual = {f"penalty.{name}": getattr(resolved.penalty, name) for name in ("name", "l2")}
            recipe = recipe.override(usual)
        return recipe

    def with_its_engine(self, recipe: ResolvedRecipe) -> ResolvedRecipe:
        """Returns a recipe with the engine that computed its features here, if any did."""
        return self.features.with_engine(recipe)

    def prepare(self) -> None:
        """Computes the features that most trials will need, if they need any.

        Whether and in how many views they are augmented, and of how many levels they are, is
        measured once, on the recipe that trials change.
        """
        recipe = self.recipe.resolve()
        if not self._trains_on_features(recipe):
            return
        if "backbone.levels" in self.searched:
            recipe = recipe.with_measured(levels=recipe.backbone.levels)
        if "augment.policy" in self.searched:
            recipe = recipe.with_measured(policy=recipe.augment.policy)
        if "features.views" in self.searched or "augment.policy" in self.searched:
            recipe = recipe.with_measured(views=recipe.features.views)
        if recipe.to_measure - {"penalty.l2"}:
            most = 1
            if "backbone.levels" in recipe.to_measure:
                most = self.features.most_levels(recipe)
            measured = measure_settings(recipe, lambda of: self.features.build_feeds(of)[0], most)
            settings = measured.to_settings()
            for path in recipe.to_measure - {"penalty.l2"}:
                section, name = path.split(".")
                self.recipe = self.recipe.override({path: settings[section][name]})
            if recipe.is_convex and "penalty.l2" in recipe.to_measure:
                # Other features may take a weaker penalty; a path ends where its loss rises.
                self._strengths = STRENGTHS[STRENGTHS.index(neighbors(measured.penalty.l2)[0]) :]
            recipe = self.recipe.resolve()
        self.features.feeds(recipe)

    def __call__(self, trials: Sequence[Trial]) -> Iterator[Mapping[str, Result]]:
        """Trains trials; yields results by id, as trials finish."""
        groups: dict[Hashable, _Group] = {}
        alone: dict[str, tuple[Trial, ResolvedRecipe]] = {}
        for trial in trials:
            try:
                recipe = self.build_recipe(trial).resolve()
            except InputError as error:
                yield {trial.id: Result(failure=str(error))}
                continue
            if recipe.is_convex and self._trains_on_features(recipe):
                # Trials that differ in settings of other heads alone are the same.
                same = recipe.to_toml()
                if same not in self._convex:
                    self._convex[same] = self._fit_convex(recipe)
                yield {trial.id: self._convex[same]}
                continue
            specs = self._specs(recipe, trial) if self._trains_on_features(recipe) else []
            if not specs or not can_stack(specs[0]):
                alone[trial.id] = trial, recipe
                continue
            rows = self._rows_of(recipe)
            sizes = rows[0].num_features, rows[0].num_classes, rows[0].steps_per_epoch
            key = id(rows), structure_of(specs[0], *sizes)
            group = groups.setdefault(key, _Group(rows))
            group.trials.append(trial.id)
            group.specs.append(specs)
        for group in groups.values():
            yield self._train_group(group)
        for id_, (trial, recipe) in alone.items():
            yield {id_: self._lone.train(trial, recipe)}

    def _train_group(self, group: _Group) -> dict[str, Result]:
        with ExitStack() as held:
            for rows in group.rows:
                held.enter_context(rows.held())
            specs = list(zip(*group.specs, strict=True))
            num_validated = sum(rows.num_validated for rows in group.rows)
            by_division = self._heads.train_divided(
                specs,
                group.rows,
                keep_image_metrics="all" if num_validated <= MOST_IMAGES else "best",
            )
        results = {}
        for id_, heads, outcomes in zip(
            group.trials, group.specs, zip(*by_division, strict=True), strict=True
        ):
            parts = [_result_of(outcome) for outcome in outcomes]
            histories = [outcome.history for outcome in outcomes]
            result, config = parts[0], heads[0].stopping
            if len(parts) > 1:
                result = result_at_common_epoch(parts, histories, config)
            if result.score is not None:
                by_epoch = [outcome.image_metrics for outcome in outcomes]
                kept = join_folds(by_epoch, of_loss=config.monitor == "val_loss")
                result = replace(result, image_scores=kept)
            results[id_] = result
        return results

    def _fit_convex(self, recipe: ResolvedRecipe) -> Result:
        """Fits a linear head to convergence on each division.

        A strength of L2 that the trial leaves open is the best on all divisions.
        """
        (config,) = recipe.task_configs.values()
        feeds = self.features.feeds(recipe)
        choice = choose_strength(
            [partial(read_division, recipe, feed, max_augmented=MEASURED_VIEWS) for feed in feeds],
            len(self.source.class_names),
            strengths=(
                self._strengths if "penalty.l2" in recipe.to_measure else (recipe.penalty.l2,)
            ),
            label_smoothing=config.label_smoothing,
        )
        metrics = {"val_accuracy": choice.hits.astype(np.float32), "val_loss": choice.losses}
        of_images = metrics[recipe.stopping.monitor]
        ends = np.cumsum([len(feed.source.val) for feed in feeds])[:-1]
        parts = [
            scored(float(scores.mean()), float(losses.mean()), epochs=1, best_epoch=0)
            for scores, losses in zip(
                np.split(of_images, ends),
                np.split(choice.losses, ends),
                strict=True,
            )
        ]
        result = mean_result(parts) if len(parts) > 1 else parts[0]
        kept = ImageScores.of(of_images[np.newaxis], choice.losses[np.newaxis])
        return replace(result, image_scores=kept)

    def stack_key(self, trial: Trial) -> Hashable | None:
        """Returns the same for trials that train together; None for one that trains alone.

        Heads of one shape on the same features train in one stack, and the last bits of each
        depend on how many there are.
        """
        try:
            recipe = self.build_recipe(trial).resolve()
        except InputError:
            return trial.id  # it fails at once, wherever
        if not self._trains_on_features(recipe):
            return None
        if recipe.is_convex:
            return recipe.to_toml()
        spec = self._specs(recipe, trial)[0]
        if not can_stack(spec):
            return None
        # The sizes follow from the features and the batches.
        return feature_key(recipe), _batching(recipe), structure_of(spec, 1, 1, 1)

    def _trains_on_features(self, recipe: ResolvedRecipe) -> bool:
        return self.devices.can_stack_heads and not recipe.tasks and not recipe.trains_on_images

    def _specs(self, recipe: ResolvedRecipe, trial: Trial) -> list[HeadSpec]:
        """Returns a trial's head on each division."""
        return [
            build_head_spec(recipe, division, stop_after=trial.epochs)
            for division in self.divisions
        ]

    def _rows_of(self, recipe: ResolvedRecipe) -> list[FeatureBatches]:
        feeds = self.features.feeds(recipe)
        key = id(feeds), _batching(recipe)
        if key not in self._rows:
            self._rows[key] = [
                FeatureBatches(
                    feed.features("train"),
                    feed.source.train,
                    feed.features("val"),
                    feed.source.val,
                    recipe.head.pooling,
                    build_recipe_order(recipe, feed.source),
                    len(self.source.class_names),
                    standardize=recipe.train.standardize,
                )
                for feed in feeds
            ]
        return self._rows[key]


def divide_into_folds(source: Source, count: int, seed: int) -> list[Source]:
    """Divides training and validation images into stratified folds, related images always into one.

    Args:
        source: The images; test images stay as they are.
        count: Number of folds.
        seed: Seed of the division.

    Returns:
        A source for each fold, which is its validation split.
    """
    both = join_examples([source.train, source.val])
    return [
        replace(source, train=both.take(train), val=both.take(val))
        for train, val in divide(both, count, seed)
    ]


def _batching(recipe: ResolvedRecipe) -> Hashable:
    """Returns the same for recipes whose heads read the same features in the same batches."""
    full_batch = recipe.optimizer.row.full_batch
    batches = recipe.input.batch_size, recipe.train.oversample, full_batch
    return recipe.head.pooling, recipe.train.standardize, batches


def _result_of(outcome: Outcome) -> Result:
    if outcome.failure or outcome.best_epoch < 0:
        failure = outcome.failure or "no epoch was validated"
        return Result(epochs=outcome.epochs, failure=failure)
    return scored(outcome.score, outcome.loss, outcome.epochs, outcome.best_epoch)
