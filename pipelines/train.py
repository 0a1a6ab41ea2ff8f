"""Train: a source and a recipe in, a run with its best weights and metrics out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.devices import Devices, prepare_devices, quiet_start
from pipelines.progress import say
from pipelines.recipe import Recipe
from pipelines.runs import Run
from pipelines.sources import Source, describe, open_source, preset_of
from tuning.optimizers import build_optimizer
from tuning.schedules import build_schedule
from tuning.stopping import EarlyStopping


def train(
    data: str | Path, recipe: Recipe | None = None, *, out: str | Path, resume: bool = False
) -> Run:
    """Trains a classifier and measures it on every split.

    First the head on the frozen backbone (or all of it, where the backbone has
    random weights), then, if the recipe says so, the head with the backbone's
    top blocks. The weights kept are the best by validation, across both.

    Args:
        data: DATA as the command line takes it; empty takes the recipe's.
        recipe: What to do; left out, the preset that suits the data.
        out: The run's directory, new unless `resume`.
        resume: Go on where an interrupted run stood. It ends with the very
            weights it would have had.

    Returns:
        The finished run.

    Raises:
        DataError: The images or labels cannot be trained on.
        RecipeError: The recipe does not fit itself or the data.
        RunError: `out` is taken, or was made by another recipe or from other data.
        TrainingError: The loss is no longer a number.
    """
    started = time.perf_counter()
    if recipe is None:
        recipe = Recipe.preset(preset_of(str(data)))
    source_name = str(data) or recipe.data.source
    recipe = recipe.completed().model_copy(
        update={"data": recipe.data.model_copy(update={"source": source_name})}
    )
    with quiet_start():
        devices = prepare_devices(recipe.device)
    source = open_source(source_name, recipe.data, seed=recipe.seed)
    run = Run.create(Path(out), recipe, resume=resume)
    if run.metrics:
        say(f"{run.path} is finished already")
        return run
    for line in describe(source):
        say(line)
    counts = ", ".join(f"{len(examples)} {name}" for name, examples in source.splits.items())
    say(f"{source.name}: {len(source.class_names)} classes, {counts} images")
    say(f"training on {devices.description}")
    run.save_class_names(source.class_names)
    read_s = time.perf_counter() - started

    model, fit_s = _Job(run, recipe, source, devices).fit()
    run.save_model(model)
    metrics = _measure_splits(model, recipe, source)
    metrics["timing"] = {
        "wall_s": round(time.perf_counter() - started, 3),
        "read_s": round(read_s, 3),
        "fit_s": round(fit_s, 3),
    }
    metrics["device"] = devices.description
    metrics["images"] = {name: len(examples) for name, examples in source.splits.items()}
    metrics["images"]["skipped"] = len(source.skipped)
    run.save_metrics(metrics)
    return run


@dataclass
class _Phase:
    """One stretch of training: what is trainable, by which optimizer, until when."""

    name: str
    first_epoch: int
    last_epoch: int
    blocks: int
    learning_rate: float


class _Job:
    """The state of one training job, and how it is written down and taken up again."""

    def __init__(self, run: Run, recipe: Recipe, source: Source, devices: Devices) -> None:
        self.run, self.recipe, self.source, self.devices = run, recipe, source, devices
        self.stopping = EarlyStopping(recipe.stopping)
        self.history: list[dict[str, Any]] = []
        self.data_key = _fingerprint(source)
        rate = recipe.optimizer.learning_rate
        if rate is None:
            raise ValueError("train() completes a recipe before a job sees it.")
        self.phases = [_Phase("head", 0, recipe.train.epochs, 0, rate)]
        if not recipe.backbone.frozen:
            self.phases[0].name = "all"
        if recipe.fine_tune.blocks:
            last = recipe.train.epochs + recipe.fine_tune.epochs
            fine = recipe.fine_tune
            self.phases.append(
                _Phase("fine_tune", recipe.train.epochs, last, fine.blocks, fine.learning_rate)
            )

    def fit(self) -> tuple[Any, float]:
        """Runs what is left of the phases.

        Returns:
            The classifier in float32 with the best weights, and the seconds it
            took, those before an interruption included.
        """
        import keras

        from zoo.classifier import build_classifier, logits_of, unfreeze_top

        recipe, source = self.recipe, self.source
        keras.utils.set_random_seed(recipe.seed)
        # The same kernels in the same order each time: the same weights.
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.experimental.enable_op_determinism()
        backbone, size = recipe.backbone, recipe.input.size
        arguments = (backbone.name, size, recipe.head, len(source.class_names))
        with self.devices.scope():
            classifier = build_classifier(*arguments, frozen=bool(backbone.frozen))
            logits = logits_of(classifier, frozen=bool(backbone.frozen))
        checkpoint = self._load_checkpoint()
        taken_up = checkpoint[0] if checkpoint else {}
        from pipelines.input import build_eval_dataset

        validation = build_eval_dataset(
            source.val, recipe.input.preprocessing, recipe.input.batch_size, len(source.class_names)
        ).cache()
        for number, phase in enumerate(self.phases):
            if number < taken_up.get("phase", 0):
                continue
            with self.devices.scope():
                if phase.blocks:
                    unfreeze_top(classifier, backbone.name, phase.blocks)
                self._compile(logits, phase)
            resumed = checkpoint is not None and number == taken_up["phase"]
            if resumed and checkpoint is not None:
                self._restore(logits, *checkpoint)
            elif number:
                # A second phase starts from the best and has to beat it.
                self.stopping.restore_best(logits)
                self.stopping.wait = 0
            first = taken_up["epoch"] + 1 if resumed else phase.first_epoch
            if first < phase.last_epoch and not self.stopping.stopped:
                self._fit_phase(logits, number, phase, first, validation)
        self.stopping.restore_best(logits)
        fit_s = sum(float(row["wall_s"]) for row in self.history)
        if self.devices.precision == "float32" and self.devices.num_replicas == 1:
            return classifier, fit_s
        # What is measured, saved and served computes in float32 on one device.
        keras.mixed_precision.set_dtype_policy("float32")
        plain = build_classifier(*arguments, frozen=bool(backbone.frozen))
        plain.set_weights(classifier.get_weights())
        return plain, fit_s

    def _compile(self, logits: Any, phase: _Phase) -> None:
        import keras

        from pipelines.input import steps_per_epoch

        steps = steps_per_epoch(len(self.source.train), self.recipe.input.batch_size)
        num_steps = steps * (phase.last_epoch - phase.first_epoch)
        rate = build_schedule(self.recipe.schedule, phase.learning_rate, num_steps)
        logits.compile(
            optimizer=build_optimizer(self.recipe.optimizer, rate),
            loss=keras.losses.CategoricalCrossentropy(
                from_logits=True, label_smoothing=self.recipe.train.label_smoothing
            ),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile=self.devices.jit_compile,
        )
        logits.optimizer.build(logits.trainable_variables)

    def _fit_phase(
        self, logits: Any, number: int, phase: _Phase, first: int, validation: Any
    ) -> None:
        import keras

        from pipelines.input import build_train_stream

        recipe = self.recipe
        stream = build_train_stream(
            self.source.train,
            recipe.input,
            recipe.augment,
            class_weights=_class_weights(self.source, recipe.train.class_weights),
            seed=recipe.seed,
            first_epoch=first,
            num_replicas=self.devices.num_replicas,
        )
        epoch_started = time.perf_counter()

        def end_epoch(epoch: int, logs: Mapping[str, Any]) -> None:
            nonlocal epoch_started
            logits.stop_training = not self.stopping.end_epoch(logits, epoch, logs)
            row = {
                "epoch": epoch + 1,
                "phase": phase.name,
                **{name: float(value) for name, value in logs.items()},
                "learning_rate": float(keras.ops.convert_to_numpy(logits.optimizer.learning_rate)),
                "wall_s": round(time.perf_counter() - epoch_started, 3),
            }
            epoch_started = time.perf_counter()
            self.history.append(row)
            self.run.save_history(self.history)
            self._save_checkpoint(logits, number, epoch)
            best = ", best" if self.stopping.best_epoch == epoch else ""
            say(
                f"epoch {epoch + 1}/{phase.last_epoch} {phase.name}: "
                f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}; "
                f"val loss {row['val_loss']:.4f}, accuracy {row['val_accuracy']:.4f} "
                f"({row['wall_s']:.1f} s{best})"
            )

        callbacks = [
            keras.callbacks.LambdaCallback(on_epoch_end=end_epoch),
            keras.callbacks.TensorBoard(self.run.path / "logs", write_graph=False),
        ]
        if recipe.optimizer.ema:
            # Validation then sees the averages, which are what is kept.
            callbacks.append(keras.callbacks.SwapEMAWeights())
        logits.fit(
            stream.dataset,
            steps_per_epoch=stream.steps_per_epoch,
            initial_epoch=first,
            epochs=phase.last_epoch,
            validation_data=validation,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )

    def _save_checkpoint(self, logits: Any, phase: int, epoch: int) -> None:
        arrays = {f"now_{i}": v.numpy() for i, v in enumerate(_state_of(logits))}
        arrays |= {f"best_{i}": value for i, value in enumerate(self.stopping.best_weights)}
        state = {
            "phase": phase,
            "epoch": epoch,
            "stopping": self.stopping.state(),
            "history": self.history,
            "data": self.data_key,
        }
        self.run.save_checkpoint(state, arrays)

    def _load_checkpoint(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        from zoo.errors import RunError

        checkpoint = self.run.load_checkpoint()
        if checkpoint and checkpoint[0]["data"] != self.data_key:
            raise RunError(
                f"the images of {self.source.name} are not those {self.run.path} was started with",
                expected="the same files, labels and splits",
                mend="choose another --out to train on the new ones",
            )
        return checkpoint

    def _restore(self, logits: Any, state: dict[str, Any], arrays: dict[str, Any]) -> None:
        self.history = state["history"]
        count = sum(name.startswith("best_") for name in arrays)
        self.stopping.restore(state["stopping"], [arrays[f"best_{i}"] for i in range(count)])
        for i, variable in enumerate(_state_of(logits)):
            variable.assign(arrays[f"now_{i}"])
        say(f"taking up after epoch {state['epoch'] + 1}")


def _state_of(model: Any) -> list[Any]:
    """Every variable the next step depends on: weights, dropout's seeds, the optimizer's."""
    seeds = [v for v in model.variables if "seed_generator" in v.path]
    return [*model.weights, *seeds, *model.optimizer.variables]


def _fingerprint(source: Source) -> str:
    digest = hashlib.sha256()
    for split, examples in source.splits.items():
        digest.update(f"{split}\n".encode())
        for row in zip(examples.names, examples.labels, examples.digests, strict=True):
            digest.update(f"{row}\n".encode())
    return digest.hexdigest()


def _class_weights(source: Source, kind: str) -> npt.NDArray[np.float32]:
    counts = np.bincount(source.train.labels, minlength=len(source.class_names))
    if kind == "none":
        return np.ones(len(counts), np.float32)
    return (len(source.train) / (len(counts) * counts)).astype(np.float32)


def _measure_splits(model: Any, recipe: Recipe, source: Source) -> dict[str, Any]:
    from pipelines.evaluate import answer
    from pipelines.metrics import measure

    return {
        name: measure(examples.labels, answer(model, recipe, examples), source.class_names)
        for name, examples in source.splits.items()
    }
