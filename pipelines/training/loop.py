"""Training loop: epoch after epoch, each validated, logged and checkpointed."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Source
from pipelines.storage.checkpoint import Checkpoint, History
from pipelines.storage.run_folder import RunFolder
from pipelines.training.phases import Phase
from tuning.early_stopping import EarlyStopping, validated_epochs
from tuning.reduce_on_plateau import ReduceOnPlateau
from tuning.weight_averaging import averaged_weights, build_averaging_callbacks
from zoo.files import naming_file
from zoo.progress import track

logger = logging.getLogger(__name__)


class TrainingLoop:
    """The epochs of a job so far, its best weights, and its checkpoint.

    Args:
        recipe: Early stopping and schedule.
        source: The images, which a checkpoint must have been made from.
        describe: Formats an epoch's metrics, given Keras' logs and the prefix of those
            wanted: empty for training, `val_` for validation.
        folder: Where history, checkpoints and TensorBoard logs go, none before `fit`; None
            keeps nothing.

    Raises:
        RunError: The checkpoint is damaged, or was made from other images.
    """

    def __init__(
        self,
        recipe: ResolvedRecipe,
        source: Source,
        describe: Callable[[Mapping[str, Any], str], str],
        *,
        folder: RunFolder | None = None,
    ) -> None:
        self.recipe, self.describe, self.folder = recipe, describe, folder
        self.data_digest = source.digest
        self.checkpoint = folder.load_checkpoint(source) if folder else None
        self.stopping = EarlyStopping(recipe.stopping)
        self.plateau = ReduceOnPlateau(recipe.schedule)
        self.history: History = self.checkpoint.history if self.checkpoint else []

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
        position: int = 0,
        first: int,
        last: int,
        phase_start: int = 0,
    ) -> None:
        """Trains a compiled model and keeps its best weights by validation.

        Args:
            model: A compiled Keras model, its optimizer built.
            stream: The `TrainStream` from epoch `first` on.
            validation: A finite `tf.data.Dataset`, or None for no validation.
            phase: The phase's name in history.csv.
            position: The phase's position in the job.
            first: The first epoch, from 0 through the whole job.
            last: The epoch before which training ends at the latest.
            phase_start: The phase's first epoch, from which validations are counted.
        """
        import keras

        epoch_started = time.perf_counter()

        def end_epoch(epoch: int, logs: Mapping[str, Any]) -> None:
            nonlocal epoch_started
            model.stop_training = not self.stopping.end_epoch(model, epoch, logs)
            metrics = {name: float(value) for name, value in logs.items()}
            # Some epochs are not validated, and every row has the same columns.
            names = [name for name in metrics if not name.startswith("val_")]
            row = {
                "epoch": epoch + 1,
                "phase": phase,
                **{name: metrics.get(name) for name in (*names, *(f"val_{n}" for n in names))},
                "learning_rate": float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)),
                "wall_s": round(time.perf_counter() - epoch_started, 3),
            }
            epoch_started = time.perf_counter()
            if "val_loss" in metrics:
                factor = self.plateau.update(metrics["val_loss"])
                if factor < 1:
                    model.optimizer.learning_rate = float(model.optimizer.learning_rate) * factor
            self.history.append(row)
            self._save(model, position, epoch)
            best = ", best" if self.stopping.best_epoch == epoch else ""
            line = f"epoch {epoch + 1}/{last} {phase}: {self.describe(metrics, '')}"
            if "val_loss" in metrics:
                line += f"; val {self.describe(metrics, 'val_')}"
            logger.info(f"{line} ({row['wall_s']:.1f} s{best})")
            epochs.advance()

        callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)]
        writing: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if self.folder:
            logs = self.folder.path / "logs"
            callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False))
            writing = naming_file(logs)
        # An epoch logs its metrics anyway.
        with (
            track(f"training {phase}", last, unit="epochs", done=first, log_every_s=None) as epochs,
            writing,
        ):
            model.fit(
                stream.dataset,
                steps_per_epoch=stream.steps_per_epoch,
                initial_epoch=first,
                epochs=last,
                # Keras makes two iterators for each validation of a finite dataset, and TensorFlow
                # optimizes the functions in it for each. An endless one has one iterator.
                validation_data=None if validation is None else validation.repeat(),
                validation_steps=None if validation is None else int(validation.cardinality()),
                validation_freq=validated_epochs(self.recipe.stopping, phase_start, last),
                shuffle=False,
                verbose=0,
                callbacks=[*callbacks, *build_averaging_callbacks(model)],
            )

    def record_phase(
        self,
        model: Any,
        phase: Phase,
        position: int,
        iterations: Sequence[Mapping[str, float]],
        wall_s: Sequence[float],
    ) -> None:
        """Records a phase that was fitted as a whole, and keeps its last weights.

        Args:
            model: The Keras model that was fitted.
            phase: The phase, whose epochs are iterations.
            position: The phase's position in the job.
            iterations: The metrics of each, as Keras logs them; at least one.
            wall_s: Seconds of each.
        """
        for number, (metrics, seconds) in enumerate(zip(iterations, wall_s, strict=True)):
            row = {"epoch": phase.first_epoch + number + 1, "phase": phase.name, **metrics}
            self.history.append({**row, "learning_rate": None, "wall_s": round(seconds, 3)})
        last, epoch = iterations[-1], phase.first_epoch + len(iterations) - 1
        if self.stopping.update(epoch, last):
            self.stopping.best_weights = model.get_weights()
        self._save(model, position, epoch)
        ended = "converged" if len(iterations) < phase.num_epochs else "stopped"
        line = f"{phase.name} {ended} after {len(iterations)} iterations: "
        line += self.describe(last, "")
        if "val_loss" in last:
            line += f"; val {self.describe(last, 'val_')}"
        logger.info(f"{line} ({sum(wall_s):.1f} s)")

    def restore_phase(self, model: Any) -> None:
        """Restores the weights of a phase that `record_phase` recorded.

        Raises:
            ValueError: There is no checkpoint.
        """
        checkpoint = self._checkpoint()
        self.stopping.restore(dict(checkpoint.stopping), list(checkpoint.best))
        model.set_weights(checkpoint.current)

    def begin_phase(self, model: Any) -> None:
        """Starts a phase whose epochs have to beat a model's present weights."""
        self.stopping.best_weights = averaged_weights(model)
        self.stopping.wait = 0
        self.plateau = ReduceOnPlateau(self.recipe.schedule)

    def restore(self, model: Any) -> None:
        """Restores the checkpoint into a compiled model.

        Raises:
            ValueError: There is no checkpoint.
        """
        checkpoint = self._checkpoint()
        self.stopping.restore(dict(checkpoint.stopping), list(checkpoint.best))
        self.plateau.restore(dict(checkpoint.plateau))
        for variable, value in zip(_variables(model), checkpoint.current, strict=True):
            variable.assign(value)
        logger.info(f"resuming after epoch {checkpoint.epoch + 1}")

    def _checkpoint(self) -> Checkpoint:
        if self.checkpoint is None:
            raise ValueError("There is no checkpoint to restore.")
        return self.checkpoint

    def _save(self, model: Any, phase: int, epoch: int) -> None:
        if not self.folder:
            return
        self.folder.save_history(self.history)
        self.folder.save_checkpoint(
            Checkpoint(
                epoch=epoch,
                history=self.history,
                data_digest=self.data_digest,
                phase=phase,
                stopping=self.stopping.state(),
                plateau=self.plateau.state(),
                current=[variable.numpy() for variable in _variables(model)],
                best=self.stopping.best_weights,
            )
        )


def _variables(model: Any) -> list[Any]:
    """Returns all that the next step depends on: weights, dropout's seeds, optimizer state."""
    seeds = [v for v in model.variables if "seed_generator" in v.path]
    optimizer = getattr(model, "optimizer", None)
    return [*model.weights, *seeds, *(optimizer.variables if optimizer else ())]
