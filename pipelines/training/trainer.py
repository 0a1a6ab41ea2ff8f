"""Fitting: the phases of a training job, and how an interrupted one goes on."""

from __future__ import annotations

from functools import partial
from typing import Any

from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.network import build_feature_network
from pipelines.features.extraction import Extractor
from pipelines.input_pipeline.order import num_places, steps_per_epoch
from pipelines.recipe.compatibility import check_devices, check_steps
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import Devices
from pipelines.sources.source import Source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.data_statistics import fit_normalization, fit_stem
from pipelines.training.feeds import FeatureFeed, Feed, ImageFeed
from pipelines.training.loop import Epochs
from pipelines.training.losses_and_metrics import build_compile_arguments, format_metrics
from pipelines.training.phases import Phase, build_phases
from tuning.optimization.optimizers import build_optimizer, build_rules
from tuning.optimization.schedules import build_schedule
from zoo.heads.head import initialize_head
from zoo.models.classifier import (
    backbone_of,
    build_classifier,
    build_head_model,
    build_logits_model,
    check_blocks,
    depth_of,
    unfreeze_top,
)
from zoo.models.multi_task import build_multi_task


class Fitting:
    """One training job: its model, where it stands, and how that is written down.

    Args:
        run: Where checkpoints and history go; nothing is written before `fit`.
        recipe: Completed.
        source: The images.
        devices: What to train on.
        stop_after: Epochs after which each phase is stopped, whatever its schedule was
            made for; 0 goes to its end.

    Raises:
        RecipeError: The backbone has fewer blocks than are to be unfrozen, or the
            optimizer's settings do not fit the devices or the number of batches.
        RunError: The checkpoint is damaged, or was made from other images.
        WeightsError: The backbone's weights are not to be had.
    """

    def __init__(
        self,
        run: RunFolder,
        recipe: Recipe,
        source: Source,
        devices: Devices,
        *,
        stop_after: int = 0,
    ) -> None:
        self.run, self.recipe, self.source, self.devices = run, recipe, source, devices
        self.stop_after = stop_after
        self.epochs = Epochs(run, recipe, source, partial(format_metrics, source.tasks))
        self.phases = build_phases(recipe)
        places = num_places(source.train.labels, recipe.train.oversample)
        self.steps = steps_per_epoch(places, recipe.input.batch_size, devices.num_replicas)
        check_devices(recipe.optimizer, devices.num_replicas)
        for phase in self.phases:
            check_steps(recipe.optimizer, self.steps * (phase.last_epoch - phase.first_epoch))
        self.normalization = fit_normalization(
            recipe.input.normalization,
            recipe.backbone.name,
            source.train,
            recipe.input.preprocessing,
        )
        devices.make_deterministic(recipe.seed)
        with devices.scope():
            self.classifier = self._build()
            self._fit_stem()
            devices.synchronize_batch_norm(self.classifier)
            self.whole = build_logits_model(
                self.classifier, frozen=bool(recipe.backbone.frozen), tasks=source.tasks
            )
        self.images = ImageFeed(recipe, source, devices.num_replicas)
        self.features = self._features() if recipe.features.use else None
        # What is being trained, which is a part of the classifier.
        self.logits = self.whole
        if recipe.fine_tune.blocks:
            check_blocks(self.classifier, recipe.backbone.name, recipe.fine_tune.blocks)

    @property
    def extract_s(self) -> float:
        """Seconds that features took, or finding them."""
        return self.features.extractor.extract_s if self.features else 0.0

    def compute_features(self) -> Recipe:
        """Computes the features that are still wanted, or finds them.

        Returns:
            The recipe, with the engine that was chosen for them.
        """
        feed, taken_up = self.features, self.epochs.checkpoint
        if feed is not None and not (taken_up and taken_up[0]["phase"]):
            # What is fine-tuned is measured as a whole, with other features.
            for split in ("train", "val") if self.recipe.fine_tune.blocks else self.source.splits:
                feed.features(split)
            engine = {"engine": feed.extractor.engine_name}
            chosen = self.recipe.features.model_copy(update=engine)
            self.recipe = self.recipe.model_copy(update={"features": chosen})
        return self.recipe

    @property
    def measurable(self) -> FeatureFeed | None:
        """The features to measure the trained head by, where they are those it will get."""
        whole = self.logits is self.whole or self.devices.precision != "float32"
        return None if whole else self.features

    def fit(self) -> Any:
        """Runs what is left of the phases; returns the classifier with the best weights.

        It computes in float32 on one device, whatever it was trained in.
        """
        import keras

        recipe, epochs = self.recipe, self.epochs
        taken_up = epochs.checkpoint[0] if epochs.checkpoint else {}
        for number, phase in enumerate(self.phases):
            if number < taken_up.get("phase", 0):
                continue
            resumed = epochs.checkpoint is not None and number == taken_up["phase"]
            if number and not resumed:
                # A second phase starts from the best and has to beat it.
                epochs.stopping.restore_best(self.logits)
            with self.devices.scope():
                if phase.blocks:
                    unfreeze_top(self.classifier, recipe.backbone.name, phase.blocks)
                feed = self.compile_phase(phase)
            if resumed:
                epochs.restore(self.logits)
            elif number:
                epochs.begin_phase(self.logits)
            first = taken_up["epoch"] + 1 if resumed else phase.first_epoch
            last = self._last_epoch(phase)
            if first < last and not epochs.stopping.stopped:
                epochs.fit(
                    self.logits,
                    feed.train(first),
                    # What is trained on validates nothing.
                    None if recipe.train.with_validation else feed.validation,
                    phase=phase.name,
                    number=number,
                    first=first,
                    last=last,
                    origin=phase.first_epoch,
                )
        epochs.stopping.restore_best(self.logits)
        if self.devices.precision == "float32" and self.devices.num_replicas == 1:
            return self.classifier
        keras.mixed_precision.set_dtype_policy("float32")
        plain = self._build()
        plain.set_weights(self.classifier.get_weights())
        return plain

    def _features(self) -> FeatureFeed:
        """What the head is trained on alone."""
        recipe = self.recipe
        if recipe.features.engine != "auto":
            ENGINES[recipe.features.engine].check_installed()
        extractor = Extractor(
            build_feature_network(self.classifier),
            recipe.input.preprocessing,
            recipe.augment,
            seed=recipe.seed,
            config=recipe.features,
        )
        return FeatureFeed(recipe, self.source, self.devices.num_replicas, extractor)

    def _part(self, phase: Phase) -> tuple[Any, Feed]:
        """Returns what a phase trains, and on what."""
        if self.features is None or phase.blocks:
            return self.whole, self.images
        return build_head_model(self.classifier, tasks=self.source.tasks), self.features

    def _build(self) -> Any:
        recipe, frozen = self.recipe, bool(self.recipe.backbone.frozen)
        name, size, head = recipe.backbone.name, recipe.input.size, recipe.head
        how: Any = {
            "frozen": frozen,
            "truncate_blocks": recipe.backbone.truncate_blocks,
            "normalization": self.normalization,
        }
        tasks = self.source.tasks
        if tasks[0].bare:
            model = build_classifier(name, tasks[0].num_outputs, size=size, head=head, **how)
        else:
            hidden = {name: task.hidden for name, task in recipe.tasks.items()}
            model = build_multi_task(name, size, head, tasks, hidden=hidden, **how)
        initialize_head(model.layers, recipe.seed)
        return model

    def _fit_stem(self) -> None:
        """Fits the first layers of a backbone with random weights, if it wants that."""
        recipe = self.recipe
        # A checkpoint has them, but not that of a head that is trained on features.
        if self.epochs.checkpoint is not None and not recipe.features.use:
            return
        backbone = backbone_of(self.classifier, recipe.backbone.name)
        fit_stem(
            backbone,
            recipe.backbone.name,
            self.normalization,
            self.source.train,
            recipe.input.preprocessing,
        )

    def compile_phase(self, phase: Phase) -> Feed:
        """Gives the part that a phase trains its optimizer, its schedule and its losses.

        Returns:
            What it is trained on.
        """
        self.logits, feed = self._part(phase)
        recipe, logits = self.recipe, self.logits
        num_steps = self.steps * (phase.last_epoch - phase.first_epoch)
        rules = build_rules(
            recipe.optimizer,
            recipe.penalty,
            depth_of=depth_of(self.classifier, recipe.backbone.name),
            block_decay=recipe.fine_tune.block_decay if phase.blocks else 1.0,
        )
        logits.compile(
            optimizer=build_optimizer(
                recipe.optimizer,
                build_schedule(recipe.schedule, phase.learning_rate, num_steps, self.steps),
                rule_of=rules,
                steps_per_epoch=self.steps,
            ),
            **build_compile_arguments(self.source.tasks, recipe.all_tasks),
            jit_compile=self.devices.jit_compile,
        )
        logits.optimizer.build(logits.trainable_variables)
        return feed

    def _last_epoch(self, phase: Phase) -> int:
        return min(phase.last_epoch, phase.first_epoch + (self.stop_after or phase.last_epoch))
