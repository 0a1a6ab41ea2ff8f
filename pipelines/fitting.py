"""Fitting: the phases of a training job, and how an interrupted one goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.devices import Devices
from pipelines.engines import ENGINES, network_of
from pipelines.features.extraction import Extractor
from pipelines.feeds import FeatureFeed, Feed, ImageFeed
from pipelines.input import build_image_dataset
from pipelines.objective import compile_arguments, figures_in_words
from pipelines.phases import Phase, phases_of
from pipelines.progress import say
from pipelines.recipe import Recipe
from pipelines.runs import Run
from pipelines.sampling import num_places, steps_per_epoch
from pipelines.sources import Source
from pipelines.statistics import fit_normalisation
from tuning.averaging import validating_averages, weights_to_keep
from tuning.contradictions import check_devices, check_steps
from tuning.optimizers import build_optimizer, build_rules
from tuning.plateau import Plateau
from tuning.schedules import build_schedule
from tuning.stopping import EarlyStopping, validated_epochs
from zoo.backbones import resolve
from zoo.classifier import (
    backbone_of,
    build_classifier,
    check_blocks,
    depth_of,
    head_of,
    logits_of,
    unfreeze_top,
)
from zoo.errors import RunError
from zoo.heads import start_head
from zoo.multi_task import build_multi_task

# Enough patches for a covariance of 12 channels, few enough to decode in a second.
_STEM_IMAGES = 2000


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
        self, run: Run, recipe: Recipe, source: Source, devices: Devices, *, stop_after: int = 0
    ) -> None:
        self.run, self.recipe, self.source, self.devices = run, recipe, source, devices
        self.stop_after = stop_after
        self.data_key = source.digest
        self.checkpoint = self._load_checkpoint()
        self.stopping = EarlyStopping(recipe.stopping)
        self.plateau = Plateau(recipe.schedule)
        self.history: list[dict[str, Any]] = (
            self.checkpoint[0]["history"] if self.checkpoint else []
        )
        self.phases = phases_of(recipe)
        places = num_places(source.train.labels, recipe.train.oversample)
        self.steps = steps_per_epoch(places, recipe.input.batch_size, devices.num_replicas)
        check_devices(recipe.optimizer, devices.num_replicas)
        for phase in self.phases:
            check_steps(recipe.optimizer, self.steps * (phase.last_epoch - phase.first_epoch))
        self.normalisation = fit_normalisation(
            recipe.input.normalisation,
            recipe.backbone.name,
            source.train,
            recipe.input.preprocessing,
        )
        devices.make_repeatable(recipe.seed)
        with devices.scope():
            self.classifier = self._build()
            self._fit_stem()
            devices.synchronise(self.classifier)
            self.whole = logits_of(
                self.classifier, frozen=bool(recipe.backbone.frozen), tasks=source.named_tasks
            )
        self.images = ImageFeed(recipe, source, devices.num_replicas)
        self.features = self._features() if recipe.features.use else None
        # What is being trained, which is a part of the classifier.
        self.logits = self.whole
        if recipe.fine_tune.blocks:
            check_blocks(self.classifier, recipe.backbone.name, recipe.fine_tune.blocks)

    @property
    def fit_s(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return sum(float(row["wall_s"]) for row in self.history)

    @property
    def extract_s(self) -> float:
        """Seconds that features took, or finding them."""
        return self.features.extractor.extract_s if self.features else 0.0

    def compute_features(self) -> Recipe:
        """Computes the features that are still wanted, or finds them.

        Returns:
            The recipe, with the engine that was chosen for them.
        """
        feed, taken_up = self.features, self.checkpoint
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

        recipe = self.recipe
        taken_up = self.checkpoint[0] if self.checkpoint else {}
        for number, phase in enumerate(self.phases):
            if number < taken_up.get("phase", 0):
                continue
            resumed = self.checkpoint is not None and number == taken_up["phase"]
            if number and not resumed:
                # A second phase starts from the best and has to beat it.
                self.stopping.restore_best(self.logits)
            with self.devices.scope():
                if phase.blocks:
                    unfreeze_top(self.classifier, recipe.backbone.name, phase.blocks)
                feed = self.compile_phase(phase)
            if resumed:
                self._restore()
            elif number:
                self.stopping.best_weights = weights_to_keep(self.logits)
                self.stopping.wait = 0
                self.plateau = Plateau(recipe.schedule)
            first = taken_up["epoch"] + 1 if resumed else phase.first_epoch
            if first < self._last_epoch(phase) and not self.stopping.stopped:
                self._fit_phase(number, phase, first, feed)
        self.stopping.restore_best(self.logits)
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
            network_of(self.classifier),
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
        return head_of(self.classifier, tasks=self.source.named_tasks), self.features

    def _build(self) -> Any:
        recipe, frozen = self.recipe, bool(self.recipe.backbone.frozen)
        what = recipe.backbone.name, recipe.input.size, recipe.head
        how: Any = {"frozen": frozen, "normalisation": self.normalisation}
        tasks = self.source.named_tasks
        if tasks:
            hidden = {name: task.hidden for name, task in recipe.tasks.items()}
            model = build_multi_task(*what, tasks, hidden=hidden, **how)
        else:
            model = build_classifier(*what, len(self.source.class_names), **how)
        start_head(model.layers, recipe.seed)
        return model

    def _fit_stem(self) -> None:
        """Fits the first layers of a backbone with random weights, if it wants that."""
        import keras

        recipe, train = self.recipe, self.source.train
        row, weights = resolve(recipe.backbone.name)
        # A checkpoint has them, but not that of a head that is trained on features.
        known = self.checkpoint is not None and not recipe.features.use
        if row.fit_stem is None or weights is not None or known:
            return
        spread = np.linspace(0, len(train) - 1, min(len(train), _STEM_IMAGES)).astype(np.int64)
        images = build_image_dataset(train.take(spread), recipe.input.preprocessing, 256)
        pixels = np.concatenate(list(images.as_numpy_iterator()))
        normalised = self.normalisation.apply(pixels.astype(np.float32))
        backbone = backbone_of(self.classifier, recipe.backbone.name)
        row.fit_stem(backbone, keras.ops.convert_to_numpy(normalised))

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
            **compile_arguments(recipe.all_tasks),
            jit_compile=self.devices.jit_compile,
        )
        logits.optimizer.build(logits.trainable_variables)
        return feed

    def _last_epoch(self, phase: Phase) -> int:
        return min(phase.last_epoch, phase.first_epoch + (self.stop_after or phase.last_epoch))

    def _fit_phase(self, number: int, phase: Phase, first: int, feed: Feed) -> None:
        import keras

        recipe, logits, last = self.recipe, self.logits, self._last_epoch(phase)
        stream = feed.train(first)
        epoch_started = time.perf_counter()

        def end_epoch(epoch: int, logs: Mapping[str, Any]) -> None:
            nonlocal epoch_started
            logits.stop_training = not self.stopping.end_epoch(logits, epoch, logs)
            measured = {name: float(value) for name, value in logs.items()}
            # Not every epoch need be validated, and each has the same columns.
            names = [name for name in measured if not name.startswith("val_")]
            row = {
                "epoch": epoch + 1,
                "phase": phase.name,
                **{name: measured.get(name) for name in (*names, *(f"val_{n}" for n in names))},
                "learning_rate": float(keras.ops.convert_to_numpy(logits.optimizer.learning_rate)),
                "wall_s": round(time.perf_counter() - epoch_started, 3),
            }
            epoch_started = time.perf_counter()
            if "val_loss" in measured:
                self.plateau.end_validation(logits, measured["val_loss"])
            self.history.append(row)
            self.run.save_history(self.history)
            self._save_checkpoint(number, epoch)
            best = ", best" if self.stopping.best_epoch == epoch else ""
            line = f"epoch {epoch + 1}/{last} {phase.name}: "
            line += figures_in_words(recipe.all_tasks, measured)
            if "val_loss" in measured:
                line += f"; val {figures_in_words(recipe.all_tasks, measured, 'val_')}"
            say(f"{line} ({row['wall_s']:.1f} s{best})")

        logits.fit(
            stream.dataset,
            steps_per_epoch=stream.steps_per_epoch,
            initial_epoch=first,
            epochs=last,
            # What is trained on validates nothing.
            validation_data=None if recipe.train.with_validation else feed.validation,
            validation_freq=validated_epochs(recipe.stopping, phase.first_epoch, last),
            shuffle=False,
            verbose=0,
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_end=end_epoch),
                keras.callbacks.TensorBoard(self.run.path / "logs", write_graph=False),
                *validating_averages(logits),
            ],
        )

    def _save_checkpoint(self, phase: int, epoch: int) -> None:
        arrays = {f"now_{i}": v.numpy() for i, v in enumerate(_state_of(self.logits))}
        arrays |= {f"best_{i}": value for i, value in enumerate(self.stopping.best_weights)}
        state = {
            "phase": phase,
            "epoch": epoch,
            "stopping": self.stopping.state(),
            "plateau": self.plateau.state(),
            "history": self.history,
            "data": self.data_key,
        }
        self.run.save_checkpoint(state, arrays)

    def _load_checkpoint(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        checkpoint = self.run.load_checkpoint()
        if checkpoint and checkpoint[0].get("data") != self.data_key:
            raise RunError(
                f"the images of {self.source.name} are not those {self.run.path} was started with",
                expected="the same files, labels and splits",
                mend="choose another --out to train on the new ones",
            )
        return checkpoint

    def _restore(self) -> None:
        if self.checkpoint is None:
            raise ValueError("There is no checkpoint to go on from.")
        state, arrays = self.checkpoint
        count = sum(name.startswith("best_") for name in arrays)
        self.stopping.restore(state["stopping"], [arrays[f"best_{i}"] for i in range(count)])
        self.plateau.restore(state["plateau"])
        for i, variable in enumerate(_state_of(self.logits)):
            variable.assign(arrays[f"now_{i}"])
        say(f"taking up after epoch {state['epoch'] + 1}")


def _state_of(model: Any) -> list[Any]:
    """Every variable the next step depends on: weights, dropout's seeds, the optimizer's."""
    seeds = [v for v in model.variables if "seed_generator" in v.path]
    return [*model.weights, *seeds, *model.optimizer.variables]
