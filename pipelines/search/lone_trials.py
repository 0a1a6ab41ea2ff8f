"""Trials that train alone, one after another, each like a run of its own."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import Devices, prepare_devices
from pipelines.runtime.executor import worker_environment
from pipelines.runtime.stderr import suppress_stderr
from pipelines.runtime.task_loop import ATTEMPTS
from pipelines.runtime.worker_process import WorkerProcess
from pipelines.search.kept_checkpoints import KeptCheckpoints
from pipelines.sources.source import Source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.trainer import Trainer
from tuning.hyperparameters.fold_results import mean_result, result_at_common_epoch
from tuning.hyperparameters.image_scores import join_folds
from tuning.hyperparameters.trial import Result, Trial
from zoo.errors import InputError, TrainingError, WorkerError

logger = logging.getLogger(__name__)

TRIALS_HERE = 4
"""Trials of a search that train in this process: to start another one takes seconds."""


class LoneTrials:
    """Trains trials alone, in memory that does not grow with their number.

    TensorFlow never gives all of a trained model's memory back. The first trials train in
    this process, all others in processes that are renewed; results are the same bits. On
    GPUs and on several devices all trials train here, since these have one owner.

    Args:
        divisions: Images for training and validation, once for each fold.
        devices: What this process trains on.
        scratch: A folder for checkpoints of trials, and nothing else.
    """

    def __init__(self, divisions: Sequence[Source], devices: Devices, scratch: Path) -> None:
        self.divisions, self.devices = divisions, devices
        self._checkpoints = KeptCheckpoints(scratch)
        self._left = TRIALS_HERE
        self._process = WorkerProcess(worker_environment())

    def close(self) -> None:
        """Ends the other process, if there is one."""
        self._process.close()

    def train(self, trial: Trial, recipe: ResolvedRecipe) -> Result:
        """Trains a trial on each division, from its last checkpoint or that of its promotion.

        One that takes process after process with it fails.

        Args:
            trial: Which, and when it is stopped.
            recipe: What to train.
        """
        folder = self._checkpoints.open(trial, recipe)
        self._left -= 1
        if self._left >= 0 or not self.devices.on_cpu:
            run = self.divisions, self.devices, folder, trial.epochs
            result = train_alone(trial.id, recipe, *run)
        else:
            result = self._train_elsewhere(trial, recipe, folder.resolve())
        self._checkpoints.close(trial, result)
        return result

    def _train_elsewhere(self, trial: Trial, recipe: ResolvedRecipe, folder: Path) -> Result:
        divisions = [division.without_pixels() for division in self.divisions]
        arguments = (trial.id, recipe, divisions, folder, trial.epochs)
        for _ in range(ATTEMPTS):
            try:
                result: Result = self._process.run(train_elsewhere, arguments)
                return result
            except WorkerError as error:
                logger.info(f"trial {trial.id} was lost: {error}")
        return Result(failure=f"its worker was lost {ATTEMPTS} times")


def train_elsewhere(
    name: str, recipe: ResolvedRecipe, divisions: Sequence[Source], folder: Path, stop_after: int
) -> Result:
    """Trains a trial as `train_alone` does, in a process that is there for tasks.

    Args:
        name: The trial's id.
        recipe: What to train.
        divisions: Images for training and validation, once for each fold.
        folder: A folder for checkpoints.
        stop_after: Epochs after which it is stopped; 0 for all of the recipe's.
    """
    with suppress_stderr():
        devices = prepare_devices(recipe.device, on_images=False)
    return train_alone(name, recipe, divisions, devices, folder, stop_after)


def train_alone(
    name: str,
    recipe: ResolvedRecipe,
    divisions: Sequence[Source],
    devices: Devices,
    folder: Path,
    stop_after: int,
) -> Result:
    """Trains a trial on each division like a run, resuming from its last checkpoint.

    Args:
        name: The trial's id.
        recipe: What to train.
        divisions: Images for training and validation, once for each fold.
        devices: What to train on.
        folder: A folder for checkpoints.
        stop_after: Epochs after which it is stopped; 0 for all of the recipe's.
    """
    import keras

    parts, histories, image_metrics = [], [], []
    for number, division in enumerate(divisions, start=1):
        fold = f", fold {number} of {len(divisions)}" if len(divisions) > 1 else ""
        logger.info(f"trial {name}{fold}")
        with devices.in_precision(recipe.device, on_images=recipe.trains_on_images) as own:
            try:
                trainer = Trainer(
                    recipe,
                    division,
                    own,
                    folder=RunFolder(folder / str(number)),
                    stop_after=stop_after,
                )
                trainer.prepare()
                trainer.fit()
                loop = trainer.loop
                best = loop.stopping
                histories.append(loop.history)
                parts.append(scored(best.best, best.best_loss, len(loop.history), best.best_epoch))
                image_metrics.append(trainer.score_validation_images())
                del trainer, loop
            except (TrainingError, InputError) as error:
                parts.append(Result(failure=str(error)))
                break
            finally:
                # Keras otherwise keeps every model of the process in memory.
                keras.utils.clear_session()
    if len(divisions) == 1:
        result = parts[0]
    elif recipe.is_convex or recipe.fine_tune.blocks:  # epochs of folds are not the same
        result = mean_result(parts)
    else:
        result = result_at_common_epoch(parts, histories, recipe.stopping)
    known = [{0: metrics} for metrics in image_metrics if metrics is not None]
    if result.score is None or len(known) < len(divisions):
        return result
    of_loss = recipe.stopping.monitor == "val_loss"
    return replace(result, image_scores=join_folds(known, of_loss=of_loss))


def scored(score: float, loss: float, epochs: int, best_epoch: int) -> Result:
    """Returns the result of a trial, a failure where its loss is not finite.

    Args:
        score: The best value of the monitored metric.
        loss: The validation loss of that epoch.
        epochs: Epochs trained.
        best_epoch: The epoch of the score, counted from 0.
    """
    if not math.isfinite(loss):
        # Accuracy is a number even where probabilities are NaN.
        return Result(epochs=epochs, failure=f"the validation loss is {loss}")
    return Result(score=score, loss=loss, epochs=epochs, best_epoch=best_epoch + 1)
