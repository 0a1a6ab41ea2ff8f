"""Trainer: model, input and training loop of one job, composed phase by phase."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.predictions import predict_images
from pipelines.recipe.compatibility import check_devices, check_steps
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import Devices
from pipelines.sources.source import Source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.convex import ConvexFit
from pipelines.training.data_statistics import take_evenly
from pipelines.training.feeds import (
    FeatureFeed,
    Feed,
    ImageFeed,
    build_recipe_order,
)
from pipelines.training.fold_heads import FoldHeads, divide
from pipelines.training.level_feeds import LevelFeeds
from pipelines.training.loop import TrainingLoop
from pipelines.training.losses_and_metrics import (
    build_compile_arguments,
    compute_image_metrics,
    format_metrics,
)
from pipelines.training.map_feeds import MapFeeds
from pipelines.training.measured_settings import measure_settings
from pipelines.training.model import build_model, compile_model
from pipelines.training.phases import Phase, build_phases
from tuning.optimization.optimizer_config import build_rules
from zoo.models.standardization import Standardization
from zoo.models.trainable import build_pooling_model


class Trainer:
    """Trains a classifier, from its checkpoint on where there is one.

    Args:
        recipe: What to train, and how.
        source: The images.
        devices: What to train on.
        folder: Where checkpoints and history go, none before `fit`; None keeps nothing.
        stop_after: Epochs after which each phase ends, whatever length its schedule was
            made for; 0 goes to its end.

    Attributes:
        kernels: The head's kernels by layer at the end of `fit`, as penalties see them.
        fold_logits: With `train.folds`, what each training image got from the head that it was
            held out from, float32 [N, C]; None before `fit`, and without folds.

    Raises:
        DataError: A class has fewer images, or groups of them, than there are folds.
        RecipeError: The backbone has fewer blocks than are to be unfrozen, or the
            optimizer's settings do not suit the devices or the number of batches.
        RunError: The checkpoint is damaged, or was made from other images.
        WeightsError: The backbone's weights are absent or not the right file.
    """

    def __init__(
        self,
        recipe: ResolvedRecipe,
        source: Source,
        devices: Devices,
        *,
        folder: RunFolder | None = None,
        stop_after: int = 0,
    ) -> None:
        self.recipe, self.devices, self.stop_after = recipe, devices, stop_after
        describe = partial(format_metrics, source.tasks)
        self.loop = TrainingLoop(recipe, source, describe, folder=folder)
        self.phases = build_phases(recipe)
        order = build_recipe_order(recipe, source, devices.num_replicas)
        self.steps_per_epoch = order.steps_per_epoch
        folds = recipe.num_folds
        self._folds = divide(source.train, folds, recipe.seed) if folds else []
        check_devices(recipe.optimizer, devices.num_replicas)
        for phase in self.phases:
            check_steps(recipe.optimizer, self.steps_per_epoch * phase.num_epochs)
        # A checkpoint holds the whole model, or with features the head alone.
        fresh = self.loop.checkpoint is None or recipe.features.use
        self.model = build_model(recipe, source, devices, fit_first_layers=fresh)
        self.kernels: dict[str, Any] = {}
        self.fold_logits: npt.NDArray[np.float32] | None = None
        self._statistics: Standardization | None = None
        self._trained: tuple[Any, Feed] | None = None
        self.images = ImageFeed(recipe, source, order)
        self.levels: LevelFeeds | None = None
        self.features: FeatureFeed | None = None
        if recipe.features.use:
            self.levels = LevelFeeds(recipe, source, order, self.model.classifier)
            self.features = self.levels.read(recipe)
        self.maps: MapFeeds | None = None
        if recipe.features.use and recipe.fine_tune.blocks:
            self.maps = MapFeeds(recipe, source, order, self.model, self.phases)

    @property
    def extract_s(self) -> float:
        """Seconds spent on computing features and maps, or on finding them."""
        features = self.features.extractor.extract_s if self.features else 0.0
        return features + (self.maps.extract_s if self.maps else 0.0)

    @property
    def evaluation_features(self) -> FeatureFeed | None:
        """The features that the trained head can be evaluated on; None evaluates images.

        A fine-tuned backbone has other features, and so has one in mixed precision.
        """
        fine_tuned = bool(self.phases[-1].blocks)
        return None if fine_tuned or self.devices.precision != "float32" else self.features

    @property
    def fold_numbers(self) -> npt.NDArray[np.int64] | None:
        """The fold that each training image is held out with, int64 [N]; None without folds."""
        if not self._folds:
            return None
        numbers = np.zeros(len(self.model.source.train), np.int64)
        for number, (_, held) in enumerate(self._folds):
            numbers[held] = number
        return numbers

    def prepare(self) -> ResolvedRecipe:
        """Computes the features that remaining phases need, and measures open settings on them.

        Returns:
            The recipe, with the engine that computes features and without open settings.

        Raises:
            TrainingError: No head could be trained to measure a setting.
        """
        checkpoint = self.loop.checkpoint
        if self.features is None or self.levels is None:
            if checkpoint is None:
                self.model.fit_standardization(cache(lambda: [self._read_some_features()]))
            return self.recipe
        if checkpoint and checkpoint.phase:
            return self._with_maps_decided()
        if self.devices.can_stack_heads or self.recipe.is_convex:
            self.recipe = measure_settings(self.recipe, self.levels.read, self.levels.most)
        else:
            self.recipe = self.recipe.without_measuring()
        if self.recipe.backbone != self.model.recipe.backbone:
            self.model = build_model(self.recipe, self.model.source, self.devices)
            self.features = self.levels.read(self.recipe)
        self.features.recipe = self.images.recipe = self.recipe
        # Fine-tuned backbones are evaluated on images: their test features differ.
        fine_tuned = bool(self.recipe.fine_tune.blocks)
        for split in ("train", "val") if fine_tuned else self.features.source.splits:
            self.features.features(split)
        train, pooling = self.features.features("train"), self.recipe.head.pooling
        self._statistics = self.model.fit_standardization(lambda: train.read_blocks(pooling))
        self.recipe = self.recipe.with_engine(self.features.extractor.engine_name)
        return self._with_maps_decided()

    def _with_maps_decided(self) -> ResolvedRecipe:
        """Returns the recipe, in which it is decided whether fine-tuning trains on maps."""
        if self.maps is not None:
            self.maps.recipe = self.recipe
            self.recipe = self.maps.recipe = self.recipe.with_maps(self.maps.decide())
        return self.recipe

    def _read_some_features(self) -> Any:
        """Returns features of at most 2,000 training images, where training needs none."""
        examples = take_evenly(self.model.source.train)
        return predict_images(build_pooling_model(self.model.classifier), self.recipe, examples)

    def fit(self) -> Any:
        """Trains the remaining phases.

        Returns:
            The classifier with the best weights, in float32 on one device.
        """
        loop, checkpoint, part = self.loop, self.loop.checkpoint, self.model.logits
        feed: Feed = self.features or self.images
        for position, phase in enumerate(self.phases):
            if checkpoint and position < checkpoint.phase:
                continue
            resumed = checkpoint is not None and position == checkpoint.phase
            if position and not resumed:
                # A later phase starts from the best weights and has to beat them.
                loop.stopping.restore_best(part)
            if phase.convex and self.features is not None:
                # Heads of folds are fitted again, since a checkpoint does not hold their answers.
                if resumed and not self._folds:
                    part = self.model.head()
                    loop.restore_phase(part)
                else:
                    part = self._fit_convex(phase, position, self.features)
                feed = self.features
                continue
            part, feed = self.compile_phase(phase)
            first = phase.first_epoch
            if checkpoint and resumed:
                loop.restore(part)
                first = checkpoint.epoch + 1
            elif position:
                loop.begin_phase(part)
            last = phase.last_epoch
            if self.stop_after:
                last = min(last, phase.first_epoch + self.stop_after)
            if first < last and not loop.stopping.stopped:
                loop.fit(
                    part,
                    feed.train(first),
                    # Validation images that are trained on cannot validate.
                    None if self.recipe.trains_on_validation else feed.validation,
                    phase=phase.name,
                    position=position,
                    first=first,
                    last=last,
                    phase_start=phase.first_epoch,
                )
        loop.stopping.restore_best(part)
        self._trained = part, feed
        self.kernels = self.model.kernels
        return self.model.finished()

    def score_validation_images(self) -> npt.NDArray[np.float32] | None:
        """Computes what each validation image scores with the weights that `fit` ended with.

        Returns:
            float32 [2, N], see `pipelines.training.losses_and_metrics.compute_image_metrics`; None
            before `fit`, and where the model predicts a number or has several tasks.
        """
        tasks, val = self.model.source.tasks, self.model.source.val
        if self._trained is None or not tasks[0].bare or tasks[0].kind == "regression":
            return None
        part, feed = self._trained
        config, targets = self.recipe.task_configs[tasks[0].name], val.targets[tasks[0].name]
        logits = part.predict(feed.validation, verbose=0)
        return compute_image_metrics(tasks[0], config, targets, logits)

    def _fit_convex(self, phase: Phase, position: int, features: FeatureFeed) -> Any:
        """Fits a linear head to convergence; returns the head, a Keras model."""
        fit: ConvexFit | FoldHeads
        if self._folds:
            fit = folds = FoldHeads(self.recipe, features, self._statistics, self._folds)
            head = folds.run(phase.num_epochs)
            self.fold_logits = folds.logits
        else:
            fit = ConvexFit.of(self.recipe, features, self._statistics)
            head = fit.run(phase.num_epochs)
        self.model.set_linear_head(head.kernel, head.bias)
        part = self.model.head()
        self.loop.record_phase(part, phase, position, fit.iterations, fit.wall_s)
        return part

    def compile_phase(self, phase: Phase) -> tuple[Any, Feed]:
        """Compiles the part of the model that a phase trains.

        Returns:
            That part, a Keras model that ends in logits, and its input.
        """
        feed: Feed
        with self.devices.scope():
            if phase.blocks:
                self.model.unfreeze(phase.blocks)
            if phase.blocks and self.maps and self.recipe.fine_tune.maps != "none":
                part, feed = self.maps.open(phase)
            elif self.features is None or phase.blocks:
                part, feed = self.model.logits, self.images
            else:
                part, feed = self.model.head(), self.features
            compile_model(
                part,
                self.recipe,
                self.devices,
                learning_rate=phase.learning_rate,
                num_epochs=phase.num_epochs,
                steps_per_epoch=self.steps_per_epoch,
                rules=build_rules(
                    self.recipe.optimizer.by_gradient_steps,
                    self.recipe.penalty,
                    depth_of=self.model.depth_of,
                    block_decay=self.recipe.fine_tune.block_decay if phase.blocks else 1.0,
                ),
                **build_compile_arguments(
                    self.model.source.tasks,
                    self.recipe.task_configs,
                    temperature=self.recipe.teacher.temperature if self.recipe.teacher.run else 0,
                ),
            )
        return part, feed
