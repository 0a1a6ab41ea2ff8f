"""Epochs: training one epoch after another, each written down, so that a kill loses one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.recipe.recipe import Recipe
from pipelines.sources.source import Source
from pipelines.storage.run_folder import RunFolder
from tuning.early_stopping import EarlyStopping, validated_epochs
from tuning.reduce_on_plateau import ReduceOnPlateau
from tuning.weight_averaging import averaged_weights, build_averaging_callbacks
from zoo.errors import RunError

logger = logging.getLogger(__name__)


class Epochs:
    """Where a job stands: its epochs so far, its best weights, and its checkpoint.

    Args:
        run: Where history and checkpoints go; nothing is written before `fit`.
        recipe: Completed.
        source: The images, which a checkpoint has to have been made from.
        in_words: Says an epoch's figures, given what Keras measured and the prefix of
            those wanted: empty for training's, `val_` for validation's.

    Raises:
        RunError: The checkpoint is damaged, or was made from other images.
    """

    def __init__(
        self,
        run: RunFolder,
        recipe: Recipe,
        source: Source,
        in_words: Callable[[Mapping[str, Any], str], str],
    ) -> None:
        self.run, self.recipe, self.in_words = run, recipe, in_words
        self.data_key = source.digest
        self.checkpoint = load_checkpoint(run, source)
        self.stopping = EarlyStopping(recipe.stopping)
        self.plateau = ReduceOnPlateau(recipe.schedule)
        self.history: list[dict[str, Any]] = (
            self.checkpoint[0]["history"] if self.checkpoint else []
        )

    @property
    def fit_s(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return sum(float(row["wall_s"]) for row in self.history)

    def fit(
        self,
        model: Any,
        stream: Any,
        validation: Any,
        *,
        phase: str,
        number: int = 0,
        first: int,
        last: int,
        origin: int = 0,
    ) -> None:
        """Trains a compiled model, and keeps its best weights by validation.

        Args:
            model: A compiled Keras model, its optimizer built.
            stream: The `TrainStream` from epoch `first` on.
            validation: A finite `tf.data.Dataset`, or None to validate nothing.
            phase: What history.csv calls the stretch.
            number: Its place among the job's phases.
            first: The epoch to begin with, counted through the whole job.
            last: The epoch before which it ends at the latest.
            origin: The first epoch of the phase, from which validated ones are counted.
        """
        import keras

        epoch_started = time.perf_counter()

        def end_epoch(epoch: int, logs: Mapping[str, Any]) -> None:
            nonlocal epoch_started
            model.stop_training = not self.stopping.end_epoch(model, epoch, logs)
            measured = {name: float(value) for name, value in logs.items()}
            # Not every epoch need be validated, and each has the same columns.
            names = [name for name in measured if not name.startswith("val_")]
            row = {
                "epoch": epoch + 1,
                "phase": phase,
                **{name: measured.get(name) for name in (*names, *(f"val_{n}" for n in names))},
                "learning_rate": float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)),
                "wall_s": round(time.perf_counter() - epoch_started, 3),
            }
            epoch_started = time.perf_counter()
            if "val_loss" in measured:
                factor = self.plateau.update(measured["val_loss"])
                if factor < 1:
                    model.optimizer.learning_rate = float(model.optimizer.learning_rate) * factor
            self.history.append(row)
            self.run.save_history(self.history)
            self._save_checkpoint(model, number, epoch)
            best = ", best" if self.stopping.best_epoch == epoch else ""
            line = f"epoch {epoch + 1}/{last} {phase}: {self.in_words(measured, '')}"
            if "val_loss" in measured:
                line += f"; val {self.in_words(measured, 'val_')}"
            logger.info(f"{line} ({row['wall_s']:.1f} s{best})")

        model.fit(
            stream.dataset,
            steps_per_epoch=stream.steps_per_epoch,
            initial_epoch=first,
            epochs=last,
            validation_data=validation,
            validation_freq=validated_epochs(self.recipe.stopping, origin, last),
            shuffle=False,
            verbose=0,
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_end=end_epoch),
                keras.callbacks.TensorBoard(self.run.path / "logs", write_graph=False),
                *build_averaging_callbacks(model),
            ],
        )

    def begin_phase(self, model: Any) -> None:
        """Takes a model's weights, which the epochs to come have to beat, for the best."""
        self.stopping.best_weights = averaged_weights(model)
        self.stopping.wait = 0
        self.plateau = ReduceOnPlateau(self.recipe.schedule)

    def restore(self, model: Any) -> None:
        """Puts a compiled model where the checkpoint stood.

        Raises:
            ValueError: There is no checkpoint.
        """
        if self.checkpoint is None:
            raise ValueError("There is no checkpoint to go on from.")
        state, arrays = self.checkpoint
        count = sum(name.startswith("best_") for name in arrays)
        self.stopping.restore(state["stopping"], [arrays[f"best_{i}"] for i in range(count)])
        self.plateau.restore(state["plateau"])
        for i, variable in enumerate(_state_of(model)):
            variable.assign(arrays[f"now_{i}"])
        logger.info(f"taking up after epoch {state['epoch'] + 1}")

    def _save_checkpoint(self, model: Any, phase: int, epoch: int) -> None:
        arrays = {f"now_{i}": v.numpy() for i, v in enumerate(_state_of(model))}
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


def load_checkpoint(run: RunFolder, source: Source) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Returns the state and the arrays that a run last saved, or None.

    Args:
        run: Whose `data` in the state is the digest of its images.
        source: The images to go on with.

    Raises:
        RunError: The checkpoint is damaged, or was made from other images.
    """
    checkpoint = run.load_checkpoint()
    if checkpoint and checkpoint[0].get("data") != source.digest:
        raise RunError(
            f"the images of {source.name} are not those {run.path} was started with",
            expected="the same files, labels and splits",
            mend="choose another --out to train on the new ones",
        )
    return checkpoint


def _state_of(model: Any) -> list[Any]:
    """Every variable the next step depends on: weights, dropout's seeds, the optimizer's."""
    seeds = [v for v in model.variables if "seed_generator" in v.path]
    return [*model.weights, *seeds, *model.optimizer.variables]
