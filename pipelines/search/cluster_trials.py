"""Trials of a search as tasks of a cluster."""

from __future__ import annotations

import functools
import hashlib
import logging
import pickle
import tempfile
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import prepare_devices
from pipelines.runtime.executor import Executor
from pipelines.runtime.stderr import suppress_stderr
from pipelines.runtime.task_loop import ATTEMPTS, run_tasks
from pipelines.search.lone_trials import train_elsewhere
from pipelines.search.plan import digest_code
from pipelines.search.trial_trainer import TrialTrainer
from tuning.hyperparameters.trial import Result, Trial
from zoo.errors import ClusterError, WorkerError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Task:
    """Trials of one task.

    Args:
        trials: The trials.
        alone: Whether there is one, which trains a network of its own.
        lost: Workers that were lost with it.
    """

    trials: Sequence[Trial]
    alone: bool
    lost: int = 0


class ClusterTrials:
    """Trains trials as tasks of a cluster; scores are those of `TrialTrainer`, bit for bit.

    A trial that trains a network of its own is a task, and so are all heads of one shape on the
    same features, which train side by side. A task that loses its worker runs again; one that
    loses another is divided, until it is known which of its trials takes worker after worker
    with it: that one fails, the rest goes on.

    Args:
        trainer: The trainer of this process, which has measured what trials share.
        executor: What runs the tasks.
    """

    def __init__(self, trainer: TrialTrainer, executor: Executor) -> None:
        self.trainer, self.executor = trainer, executor
        self._shared = pickle.dumps(trainer.shared)
        self._divisions = [division.without_pixels() for division in trainer.divisions]
        self._code = digest_code()

    def __call__(self, trials: Sequence[Trial]) -> Iterator[Mapping[str, Result]]:
        """Trains trials; yields results by id, as tasks end.

        Raises:
            ClusterError: The cluster is gone, or one of its machines has another version.
        """
        for _, results in run_tasks(self._divide(trials), self._submit, _after_loss):
            yield results

    def _divide(self, trials: Sequence[Trial]) -> Iterator[_Task]:
        """Divides trials into tasks, those that take longest first."""
        stacks: dict[Hashable, list[Trial]] = {}
        for trial in trials:
            key = self.trainer.stack_key(trial)
            if key is None:
                yield _Task([trial], alone=True)
            else:
                stacks.setdefault(key, []).append(trial)
        for stack in stacks.values():
            yield _Task(stack, alone=False)

    def _submit(self, task: _Task) -> Future[Mapping[str, Result]]:
        num_gpus = min(1, self.executor.num_gpus)
        if not task.alone:
            ids = list(task.trials)
            return self.executor.submit(
                train_heads, self._shared, self._code, ids, num_gpus=num_gpus
            )
        (trial,) = task.trials
        recipe = self.trainer.build_recipe(trial).resolve()
        return self.executor.submit(
            train_network,
            trial,
            recipe,
            self._divisions,
            self._code,
            num_gpus=num_gpus,
        )


def _after_loss(task: _Task, error: WorkerError) -> tuple[Mapping[str, Result] | None, list[_Task]]:
    """Returns the results of a task that lost its worker, or the tasks that it becomes."""
    logger.info(f"{_describe(task.trials)} lost: {error}")
    lost = task.lost + 1
    if len(task.trials) > 1 and lost > 1:
        size = max(1, len(task.trials) // 4)
        parts = [task.trials[at : at + size] for at in range(0, len(task.trials), size)]
        return None, [_Task(part, task.alone) for part in parts]
    if lost < ATTEMPTS:
        return None, [_Task(task.trials, task.alone, lost)]
    return {task.trials[0].id: Result(failure=f"its worker was lost {lost} times")}, []


def _describe(trials: Sequence[Trial]) -> str:
    others = f" and {len(trials) - 1} others were" if len(trials) > 1 else " was"
    return f"trial {trials[0].id}{others}"


def train_heads(shared: bytes, code: str, trials: Sequence[Trial]) -> dict[str, Result]:
    """Trains heads on computed features, as a task.

    Args:
        shared: What `TrialTrainer.shared` says, pickled.
        code: The digest of the driver's code.
        trials: The trials.

    Returns:
        Results by trial id.

    Raises:
        ClusterError: This machine has other code.
    """
    _check_code(code)
    trainer = _build_trainer(shared)
    return {id_: result for results in trainer(trials) for id_, result in results.items()}


def train_network(
    trial: Trial, recipe: ResolvedRecipe, divisions: Sequence[Any], code: str
) -> dict[str, Result]:
    """Trains a trial that has a network of its own, as a task.

    Args:
        trial: The trial.
        recipe: What to train.
        divisions: Images for training and validation, once for each fold.
        code: The digest of the driver's code.

    Returns:
        Its result by its id.

    Raises:
        ClusterError: This machine has other code.
    """
    _check_code(code)
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        result = train_elsewhere(trial.id, recipe, divisions, Path(folder), trial.epochs)
    return {trial.id: result}


_trainers: dict[str, TrialTrainer] = {}
"""The trainer of this worker by the digest of what its trials share: features are read and
graphs traced once. No result depends on it."""


def _build_trainer(shared: bytes) -> TrialTrainer:
    key = hashlib.sha256(shared).hexdigest()
    if key not in _trainers:
        _trainers.clear()
        # From the driver of this job, which runs what it likes here anyway.
        arguments = pickle.loads(shared)
        recipe = arguments["recipe"].resolve()
        with suppress_stderr():
            devices = prepare_devices(recipe.device, on_images=not recipe.features.use)
        # No trial of heads leaves a checkpoint.
        _trainers[key] = TrialTrainer(
            devices=devices, scratch=Path(tempfile.gettempdir()), **arguments
        )
    return _trainers[key]


@functools.cache
def _own_code() -> str:
    return digest_code()


def _check_code(code: str) -> None:
    if code != _own_code():
        import socket

        raise ClusterError(
            f"the code on {socket.gethostname()} is not that of this process",
            expected="the same transfer-zoo, TensorFlow, Keras, KerasTuner and NumPy",
            mend="install the same versions on all machines",
        )
