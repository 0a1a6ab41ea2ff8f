"""Hyperparameter search: trials of a recipe's settings, and the best of them trained."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import DEFAULT_EPOCHS
from pipelines.recipe.settings import RecipeSettings
from pipelines.runtime.cluster import check_cluster, check_gpus, open_cluster
from pipelines.runtime.executor import Executor, InThisProcess
from pipelines.runtime.isolation import isolated
from pipelines.search.cluster_trials import ClusterTrials
from pipelines.search.corrected_score import correct_best_score
from pipelines.search.job import SearchJob, SpaceFile
from pipelines.search.plan import FOLDER, claim_search, is_begun
from pipelines.search.reports.reporting import reporting
from pipelines.search.trial_trainer import TrialTrainer
from pipelines.serving.run import Run
from pipelines.storage.destination import remove_training
from pipelines.storage.run_folder import RunFolder
from pipelines.training.train import train_on
from tuning.hyperparameters.choice import choose_best
from tuning.hyperparameters.oracles import BatchedOracle
from tuning.hyperparameters.search import Journal, Search
from tuning.hyperparameters.space import SearchSpace
from tuning.hyperparameters.trial import Result, Trial, best_first
from zoo.errors import TrainingError
from zoo.progress import Progress, track

logger = logging.getLogger(__name__)


@isolated()
def tune(
    data: str | Path | None,
    recipe: RecipeSettings | None = None,
    *,
    out: str | Path,
    trials: int | None = None,
    epochs: int | None = None,
    tuner: str | None = None,
    folds: int | None = None,
    space: SpaceFile | None = None,
    fine_tune: bool | None = None,
    retrain_on_val: bool | None = None,
    cluster: str | None = None,
    insecure: bool = False,
    resume: bool = False,
) -> Run:
    """Searches settings of a recipe and trains the best.

    With `resume`, an argument that is None takes the value the search was started with.

    Args:
        data: DATA as the command line takes it; None takes the recipe's.
        recipe: The recipe whose settings trials change; None takes the preset that suits
            the data.
        out: The run folder, new unless `resume`.
        trials: Trials, at most; None takes 100.
        epochs: Epochs of a trial, at most; None takes the recipe's.
        tuner: A row of TUNERS; None takes `random`.
        folds: Stratified folds of all images except the test images that a score is the
            mean over; 0 scores on the validation images. None takes five folds where these
            are fewer than 1,000, trials train on features and the space is the default.
        space: The search space: a TOML file or its content, see
            `tuning.hyperparameters.space`; None takes the settings of a head that matter,
            and for up to 5,000 images which levels of the backbone it reads.
        fine_tune: Whether a space that is not given has the number of blocks to fine-tune.
        retrain_on_val: Whether the best recipe trains on the validation images too, as the
            folds have; None does so where there are folds.
        cluster: Where trials train, without effect on the results: `local`, a process of
            this machine for each core, or `local:N`; `auto` or HOST:PORT, a cluster of Ray;
            None trains in this process.
        insecure: Whether a cluster is used that runs what anybody sends.
        resume: Whether an interrupted search is continued. Finished trials are not
            repeated, and the search ends as it would have without the interruption. With
            the tuners `random` and `grid` there may be more `trials` than before.

    Returns:
        The run of the best recipe; its folder also holds search.json.

    Raises:
        ClusterError: The cluster cannot be reached, or refuses.
        DataError: The images or labels cannot be trained on.
        InputError: `cluster` names none, or one that cannot be used.
        RecipeError: The recipe or the space does not fit itself or the data.
        RunError: `out` is taken, or its search was started with other settings.
        TrainingError: Every trial failed.
    """
    clock = _Clock()
    check_cluster(cluster)
    settings: dict[str, Any] = {
        "trials": trials,
        "epochs": epochs,
        "tuner": tuner,
        "folds": folds,
        "retrain_on_val": retrain_on_val,
        "space": space,
        "fine_tune": fine_tune,
    }
    with claim_search(Path(out), resume=resume) as folder:
        begun = folder.path if is_begun(folder.path) else None
        job = SearchJob.prepare(data, recipe, begun, **settings)
        journal = Journal(folder.path / FOLDER / "journal.json", job.fingerprint)
        if job.added_trials:
            logger.info(f"{job.added_trials} trials more than before")
            remove_training(folder.path)
            job.plan.save(folder.path, job.recipe)
        if folder.finished:
            logger.info(f"{folder.path} is finished already")
            return Run(folder.path)
        with open_cluster(cluster, insecure=insecure) as executor:
            _search(job, folder, journal, clock, executor)
    return Run(folder.path)


def _search(
    job: SearchJob,
    folder: RunFolder,
    journal: Journal,
    clock: _Clock,
    executor: Executor,
) -> None:
    check_gpus(executor)
    logger.info(f"searching {', '.join(job.space.domains)}")
    trainer = job.build_trainer(folder.path / FOLDER / "trials")
    if not is_begun(folder.path):
        job.plan.save(folder.path, job.recipe)
    trainer.prepare()
    clock.start_search(trainer, journal.search_s)
    objective = Objective.of(job.recipe)
    journal.renumber(job.plan.trials)
    search = Search(_build_oracle(job, objective), journal, job.plan.trials, clock.search_s)
    done = len(search.completed)
    if done:
        logger.info(f"{done} of {search.num_trials} trials are done already")
    with track("search", search.num_trials, unit="trials", done=done, log_every_s=0) as trials_done:
        progress = _TrialProgress(search, objective, trials_done, folder)
        with contextlib.closing(trainer):
            here = isinstance(executor, InThisProcess)
            _train_all(search, trainer if here else ClusterTrials(trainer, executor), progress)
    executor.close()  # to train the best takes all of this machine
    shutil.rmtree(trainer.scratch, ignore_errors=True)
    clock.end_search()
    best = _best_trial(search, objective, job.plan.folds or 0)
    report = _report(search, best, objective, job.space)
    report["corrected"] = correct_best_score(
        search,
        journal,
        trainer.divisions,
        monitor=objective.name,
        seed=job.recipe.seed,
    )
    folder.save_search({**report, "timing": clock.timing()})
    trial, result = best
    logger.info(f"best: trial {trial.id}, {objective.name} {result.score:.4f}; training it")
    chosen = job.plan.final_recipe(trainer.build_recipe(trial), result.best_epoch).resolve()
    chosen = folder.with_its_choices(trainer.with_its_engine(chosen))
    folder.check_same(chosen)
    own = job.devices.in_precision(chosen.device, on_images=chosen.trains_on_images)
    with reporting(folder.path, report), own as devices:
        train_on(folder, chosen, job.source, devices, started=time.perf_counter())
    folder.save_search({**report, "timing": clock.timing()})


@dataclass(frozen=True)
class Objective:
    """The score of a trial.

    Args:
        name: The validation metric that early stopping monitors.
        maximize: Whether a larger score is better.
    """

    name: str
    maximize: bool

    @classmethod
    def of(cls, recipe: Recipe) -> Objective:
        """Returns the objective of a recipe."""
        monitor = recipe.stopping.monitor
        return cls(monitor, monitor != "val_loss")


class _Clock:
    """Seconds of a search, those before an interruption included."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.searched_s = 0.0

    def start_search(self, trainer: TrialTrainer, earlier_s: float) -> None:
        """Starts to count the search, after its first features."""
        self.trainer, self.earlier_s = trainer, earlier_s
        self.search_started, self.prepared_s = time.perf_counter(), trainer.extract_s

    def search_s(self) -> float:
        """Returns the seconds of the search so far, without computing features."""
        extracted_s = self.trainer.extract_s - self.prepared_s
        return self.earlier_s + time.perf_counter() - self.search_started - extracted_s

    def end_search(self) -> None:
        """Ends the count of the search."""
        self.searched_s = self.search_s()

    def timing(self) -> dict[str, float]:
        """Returns what search.json holds as `timing`."""
        times = {
            "wall_s": self.earlier_s + time.perf_counter() - self.started,
            "extract_s": self.trainer.extract_s,
            "search_s": self.searched_s,
        }
        return {name: round(seconds, 3) for name, seconds in times.items()}


class _TrialProgress:
    """Reports finished trials, the best so far, and failures.

    Args:
        search: The search.
        objective: The score of a trial.
        progress: The count of trials.
        folder: The run folder, which must still be there.
    """

    def __init__(
        self, search: Search, objective: Objective, progress: Progress, folder: RunFolder
    ) -> None:
        self._search, self._objective, self._progress = search, objective, progress
        self._folder = folder

    def __call__(self, results: Mapping[str, Result]) -> None:
        self._folder.check_present()
        search = self._search
        for id_, result in results.items():
            if result.failure:
                logger.info(f"trial {id_} failed: {result.failure}")
        done, note = len(search.completed), ""
        if best := best_first(search.completed, maximize=self._objective.maximize):
            trial, result = best[0]
            note = f"best {self._objective.name} {result.score:.4f} (trial {trial.id})"
        self._progress.update(done, done if search.finished else search.num_trials, note=note)
        if search.finished and done < search.num_trials:
            logger.info(f"the space has only {done} different trials")


def _build_oracle(job: SearchJob, objective: Objective) -> BatchedOracle:
    return BatchedOracle(
        job.plan.tuner,
        job.space,
        objective=objective.name,
        maximize=objective.maximize,
        num_trials=job.plan.trials,
        epochs=job.recipe.train.epochs or DEFAULT_EPOCHS,
        seed=job.recipe.seed,
    )


def _train_all(
    search: Search,
    train: Callable[[Sequence[Trial]], Iterator[Mapping[str, Result]]],
    progress: _TrialProgress,
) -> None:
    while trials := search.ask(search.num_trials):
        for results in train(trials):
            search.tell(results)
            progress(results)


def _best_trial(search: Search, objective: Objective, num_folds: int) -> tuple[Trial, Result]:
    """Returns the trial to train again; see `tuning.hyperparameters.choice.choose_best`."""
    found = choose_best(search.completed, maximize=objective.maximize, num_folds=num_folds)
    if found is None:
        first, failed = search.completed[0]
        raise TrainingError(
            f"all {len(search.completed)} trials failed",
            received=f"trial {first.id}: {failed.failure}",
            mend="narrow the space, the learning rates first",
        )
    return found


def _report(
    search: Search, best: tuple[Trial, Result], objective: Objective, space: SearchSpace
) -> dict[str, Any]:
    """Returns what search.json holds, apart from the timing."""

    def entry(trial: Trial, result: Result) -> dict[str, Any]:
        values: dict[str, Any] = {
            "id": trial.id,
            "status": "FAILED" if result.score is None else "COMPLETED",
            "score": result.score,
            "score_std": result.score_std,
            "hyperparameters": dict(trial.values),
            "loss": result.loss,
            "epochs": result.epochs,
            "best_epoch": result.best_epoch,
        }
        return values | ({"failure": result.failure} if result.failure else {})

    return {
        "trials": [entry(trial, result) for trial, result in search.completed],
        "best": entry(*best),
        "objective": {
            "name": objective.name,
            "direction": "max" if objective.maximize else "min",
        },
        "space": space.to_json(),
    }
