"""Trials: what a search asks for, trained on one machine, as many together as can be."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.features.batches import FeatureBatches
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import Devices
from pipelines.sources.source import Source, join_examples
from pipelines.storage.run_folder import RunFolder
from pipelines.training.feeds import FeatureFeed, class_weights_of, order_of
from pipelines.training.trainer import Fitting
from tuning.batched_heads.head_spec import HeadSpec, structure_of
from tuning.batched_heads.trainer import HeadTrainer, Outcome, can_stack
from tuning.hyperparameters.folds import mean_result, stratified_folds
from tuning.hyperparameters.trial import Result, Trial
from tuning.optimization.optimizers import OPTIMIZERS
from zoo.errors import InputError, TrainingError
from zoo.heads.activations import ACTIVATIONS

logger = logging.getLogger(__name__)

# What decides which features a trial needs.
_OF_FEATURES = ("seed", "data", "augment", "backbone", "features")


@dataclass
class _Group:
    """Trials that train together: on the same rows, with heads of the same shape.

    Args:
        rows: What they are trained on, one a division.
        trials: Their ids.
        members: How each is trained, a list a division.
    """

    rows: Sequence[FeatureBatches]
    trials: list[str] = field(default_factory=list)
    members: list[list[HeadSpec]] = field(default_factory=list)


class TrialTrainer:
    """Trains trials on this machine.

    Heads on frozen backbones train from features, which are computed once, all heads of
    one shape at the same time. What cannot be trained so is trained as `zoo train` does,
    one after another.

    Args:
        recipe: What trials change settings of.
        searched: The paths of those.
        source: The images.
        devices: What to train on.
        folds: Into how many folds all images but the test images are divided; 0 keeps
            the source's own division.
        scratch: A folder for what trials that train alone write, and remove.
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
    ) -> None:
        self.recipe, self.searched, self.source = recipe, searched, source
        self.devices, self.scratch = devices, scratch
        self.divisions = divide(source, folds, recipe.seed) if folds else [source]
        self.engine = recipe.features.engine
        self._population = HeadTrainer(tuple(ACTIVATIONS))
        self._feeds: dict[Hashable, list[FeatureFeed]] = {}
        self._rows: dict[Hashable, list[FeatureBatches]] = {}

    @property
    def extract_s(self) -> float:
        """Seconds that features took so far, or finding them."""
        return sum(feed.extractor.extract_s for feeds in self._feeds.values() for feed in feeds)

    def recipe_of(self, trial: Trial) -> Recipe:
        """Returns a trial's recipe, completed.

        Raises:
            InputError: Its settings contradict each other.
        """
        return self.recipe.with_values(trial.values, instead_of=self.searched).completed()

    def prepare(self) -> None:
        """Computes the features that most trials will need, where they need any."""
        recipe = self.recipe.completed()
        if self._has_features(recipe):
            self._feeds_of(recipe)

    def __call__(self, trials: Sequence[Trial]) -> Iterator[Mapping[str, Result]]:
        """Trains trials; yields their results by id, as they are finished."""
        groups: dict[Hashable, _Group] = {}
        alone: dict[str, tuple[Trial, Recipe]] = {}
        for trial in trials:
            try:
                recipe = self.recipe_of(trial)
            except InputError as error:
                yield {trial.id: Result(failure=str(error))}
                continue
            members = self._members(recipe, trial) if self._has_features(recipe) else []
            if not members or not can_stack(members[0]):
                alone[trial.id] = trial, recipe
                continue
            rows = self._rows_of(recipe)
            sizes = rows[0].num_features, rows[0].num_classes, rows[0].steps_per_epoch
            key = id(rows), structure_of(members[0], *sizes)
            group = groups.setdefault(key, _Group(rows))
            group.trials.append(trial.id)
            group.members.append(members)
        for group in groups.values():
            yield self._train_together(group)
        for id_, (trial, recipe) in alone.items():
            yield {id_: self._train_alone(trial, recipe)}

    def _train_together(self, group: _Group) -> dict[str, Result]:
        by_division = [
            self._population.train(members, rows)
            for members, rows in zip(zip(*group.members, strict=True), group.rows, strict=True)
        ]
        results = {}
        for id_, outcomes in zip(group.trials, zip(*by_division, strict=True), strict=True):
            parts = [_result_of(outcome) for outcome in outcomes]
            results[id_] = mean_result(parts) if len(parts) > 1 else parts[0]
        return results

    def _train_alone(self, trial: Trial, recipe: Recipe) -> Result:
        """Trains a trial as a run of its own on each division, of which nothing is kept."""
        import keras

        folder, parts = self.scratch / trial.id, []
        for number, division in enumerate(self.divisions, start=1):
            of = f", fold {number} of {len(self.divisions)}" if len(self.divisions) > 1 else ""
            logger.info(f"trial {trial.id}{of}")
            run = RunFolder(folder / str(number))
            try:
                job = Fitting(run, recipe, division, self.devices, stop_after=trial.epochs)
                job.compute_features()
                job.fit()
                best, history = job.epochs.stopping, job.epochs.history
                parts.append(_scored(best.best, best.best_loss, len(history), best.best_epoch))
                del job
            except (TrainingError, InputError) as error:
                parts.append(Result(failure=str(error)))
                break
            finally:
                # Else every model ever made would stay in memory.
                keras.utils.clear_session()
                keras.mixed_precision.set_dtype_policy(self.devices.precision)
        shutil.rmtree(folder, ignore_errors=True)
        return mean_result(parts) if len(self.divisions) > 1 else parts[0]

    def _has_features(self, recipe: Recipe) -> bool:
        plain = self.devices.num_replicas == 1 and self.devices.precision == "float32"
        return (
            plain
            and bool(recipe.features.use)
            and self.source.tasks[0].bare
            and not recipe.fine_tune.blocks
        )

    def _members(self, recipe: Recipe, trial: Trial) -> list[HeadSpec]:
        """Returns how a trial's head is trained on each division."""
        (name,) = recipe.all_tasks
        task = recipe.all_tasks[name]
        weights = [class_weights_of(recipe, division).get(name, ()) for division in self.divisions]
        return [
            HeadSpec(
                head=recipe.head,
                optimizer=recipe.optimizer,
                schedule=recipe.schedule,
                penalty=recipe.penalty,
                stopping=recipe.stopping,
                seed=recipe.seed,
                epochs=recipe.train.epochs,
                stop_after=trial.epochs,
                loss=task.loss,
                label_smoothing=task.label_smoothing,
                focal_gamma=task.focal_gamma,
                class_weights=tuple(float(weight) for weight in of_classes),
            )
            for of_classes in weights
        ]

    def _feeds_of(self, recipe: Recipe) -> list[FeatureFeed]:
        """Returns the features a recipe needs of each division, computed if they are not there."""
        features = recipe.features.model_copy(update={"engine": self.engine})
        recipe = recipe.model_copy(update={"features": features})
        sections = recipe.model_dump(mode="json")
        # Batches are cut later.
        sections["input"].pop("batch_size")
        key = repr([sections[name] for name in (*_OF_FEATURES, "input")])
        if key not in self._feeds:
            # What a backbone with random weights is fitted on are the training images.
            feeds = [self._compute_features(recipe, division) for division in self.divisions]
            self.engine = feeds[0].extractor.engine_name
            features = recipe.features.model_copy(update={"engine": self.engine})
            sections["features"] = features.model_dump(mode="json")
            key = repr([sections[name] for name in (*_OF_FEATURES, "input")])
            self._feeds[key] = feeds
        return self._feeds[key]

    def _compute_features(self, recipe: Recipe, division: Source) -> FeatureFeed:
        if self.engine != "auto":
            features = recipe.features.model_copy(update={"engine": self.engine})
            recipe = recipe.model_copy(update={"features": features})
        job = Fitting(RunFolder(self.scratch / "features"), recipe, division, self.devices)
        if job.features is None:
            raise ValueError("This recipe does not train from features.")
        for split in ("train", "val"):
            job.features.features(split)
        self.engine = job.features.extractor.engine_name
        return job.features

    def _rows_of(self, recipe: Recipe) -> list[FeatureBatches]:
        feeds = self._feeds_of(recipe)
        full_batch = OPTIMIZERS[recipe.optimizer.name].full_batch
        cut = recipe.input.batch_size, recipe.train.oversample, full_batch
        key = id(feeds), recipe.head.pooling, cut
        if key not in self._rows:
            self._rows[key] = [
                FeatureBatches(
                    feed.features("train"),
                    feed.source.train,
                    feed.features("val"),
                    feed.source.val,
                    recipe.head.pooling,
                    order_of(recipe, feed.source),
                    len(self.source.class_names),
                )
                for feed in feeds
            ]
        return self._rows[key]


def divide(source: Source, count: int, seed: int) -> list[Source]:
    """Returns a source with its images for training and validation divided into folds.

    Args:
        source: The images.
        count: How many folds.
        seed: Another one makes other folds.
    """
    both = join_examples([source.train, source.val])
    return [
        replace(source, train=both.take(train), val=both.take(val))
        for train, val in stratified_folds(both.labels, count, seed)
    ]


def _result_of(outcome: Outcome) -> Result:
    if outcome.failure or outcome.best_epoch < 0:
        return Result(epochs=outcome.epochs, failure=outcome.failure or "it was never validated")
    return _scored(outcome.score, outcome.loss, outcome.epochs, outcome.best_epoch)


def _scored(score: float, loss: float, epochs: int, best_epoch: int) -> Result:
    if not math.isfinite(loss):
        # Accuracy is a number even where the answers are none.
        return Result(epochs=epochs, failure=f"the validation loss is {loss}")
    return Result(score=score, loss=loss, epochs=epochs, best_epoch=best_epoch + 1)
