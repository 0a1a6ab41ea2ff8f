"""Tune: many settings tried, the best of them trained."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.recipe.recipe import Recipe
from pipelines.search.job import SearchJob
from pipelines.search.plan import FOLDER, claim_search
from pipelines.search.reports import reporting
from pipelines.search.roles import ORACLE_IP, TUNER_ID, Role, role
from pipelines.search.trial_trainer import TrialTrainer
from pipelines.search.workers import LocalWorkers
from pipelines.serving.run import Run
from pipelines.storage.run_folder import RunFolder
from pipelines.training.train import train_on
from tuning.distributed.chief import Chief
from tuning.distributed.protocol import Address
from tuning.hyperparameters.oracles import BatchedOracle
from tuning.hyperparameters.search import Journal, Search
from tuning.hyperparameters.space import SearchSpace
from tuning.hyperparameters.trial import Result, Trial, best_first
from zoo.errors import InputError, TrainingError

logger = logging.getLogger(__name__)


def tune(
    data: str | Path,
    recipe: Recipe | None = None,
    *,
    out: str | Path,
    trials: int | None = None,
    epochs: int | None = None,
    tuner: str | None = None,
    folds: int | None = None,
    space: str | Path | Mapping[str, Any] | None = None,
    retrain_on_val: bool | None = None,
    workers: int = 0,
    resume: bool = False,
) -> Run:
    """Searches settings of a recipe, and trains the best.

    What is left out is, with `resume`, what the search was started with.

    Args:
        data: DATA as the command line takes it; empty takes the recipe's.
        recipe: What trials change settings of; left out, the preset that suits the data.
        out: The run's directory, new unless `resume`.
        trials: How many, at most; left out, 100.
        epochs: Of a trial, at most; left out, the recipe's.
        tuner: A row of TUNERS; left out, `random`.
        folds: Scores by the mean over so many stratified folds of all images but the test
            images; left out or 0, by the validation images.
        space: What is searched: a TOML file, or what such a file holds, as
            `tuning.hyperparameters.space` says; left out, what matters in a head.
        retrain_on_val: Whether the best recipe is trained on the validation images too.
        workers: So many processes of this machine train the trials, which changes no
            result; 0 trains them in this one. On several machines KerasTuner's variables
            say which process is the chief; see `pipelines.search.roles`.
        resume: Go on where an interrupted search stood. Finished trials are not
            repeated, and the search ends as it would have.

    Returns:
        The run of the best recipe, with `search.json` beside what every run has.

    Raises:
        DataError: The images or labels cannot be trained on.
        RecipeError: The recipe or the space does not fit itself or the data.
        RunError: `out` is taken, or its search was started with something else.
        TrainingError: Every trial failed.
        WorkerError: There are no workers any more.
    """
    started = time.perf_counter()
    me = role()
    _check_role(me, workers)
    run = RunFolder(Path(out))
    begun = claim_search(run.path, resume=resume)
    job = SearchJob.prepare(
        data,
        recipe,
        run.path if begun else None,
        trials=trials,
        epochs=epochs,
        tuner=tuner,
        folds=folds,
        retrain_on_val=retrain_on_val,
        space=space,
    )
    plan, recipe, searched = job.plan, job.recipe, job.space
    journal = Journal(run.path / FOLDER / "journal.json", job.fingerprint)
    if run.finished:
        logger.info(f"{run.path} is finished already")
        return Run(run.path)
    logger.info(f"searching {', '.join(searched.domains)}")
    trainer = job.build_trainer(run.path / FOLDER / "trials")
    if not begun:
        plan.save(run.path, recipe)
    earlier_s = journal.search_s
    trainer.prepare()
    search_started, prepared_s = time.perf_counter(), trainer.extract_s

    def search_s() -> float:
        extracted_s = trainer.extract_s - prepared_s
        return earlier_s + time.perf_counter() - search_started - extracted_s

    objective = Objective(recipe)
    oracle = BatchedOracle(
        plan.tuner,
        searched,
        objective=objective.name,
        maximize=objective.maximize,
        num_trials=plan.trials,
        epochs=recipe.train.epochs,
        seed=recipe.seed,
    )
    search = Search(oracle, journal, plan.trials, search_s)
    report = _Progress(search, objective)
    if (me or workers) and not search.finished:
        _serve(search, job.fingerprint, report, run, me, workers)
    else:
        _train_all(search, trainer, report)
    shutil.rmtree(trainer.scratch, ignore_errors=True)
    best = best_first(search.completed, maximize=objective.maximize)
    if not best:
        first, failed = search.completed[0]
        raise TrainingError(
            f"all {len(search.completed)} trials failed",
            received=f"trial {first.id}: {failed.failure}",
            mend="narrow the space, the learning rates first",
        )
    told = _search_json(search.completed, best[0], objective, searched)

    def save(wall_s: float) -> None:
        times = {"wall_s": wall_s, "extract_s": trainer.extract_s, "search_s": search_s_total}
        timing = {name: round(seconds, 3) for name, seconds in times.items()}
        run.save_search({**told, "timing": timing})

    search_s_total = search_s()
    save(earlier_s + time.perf_counter() - started)
    logger.info(
        f"best: trial {best[0][0].id}, {objective.name} {best[0][1].score:.4f}; training it"
    )
    chosen = trainer.recipe_of(best[0][0])
    if chosen.features.use:
        features = chosen.features.model_copy(update={"engine": trainer.engine})
        chosen = chosen.model_copy(update={"features": features})
    chosen = plan.final(chosen, best[0][1].best_epoch)
    run.check_same(chosen)
    run.clear_leftovers()
    with reporting(run.path, told):
        train_on(run, chosen, job.source, job.devices, started=time.perf_counter(), alone=False)
    save(earlier_s + time.perf_counter() - started)
    return Run(run.path)


class Objective:
    """What a score is.

    Args:
        recipe: Whose stopping says what is monitored.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.name = recipe.stopping.monitor
        self.maximize = self.name != "val_loss"


class _Progress:
    """Says what came of trials, and how long the others will take.

    Args:
        search: Whose.
        objective: What a score is.
    """

    def __init__(self, search: Search, objective: Objective) -> None:
        self._search, self._objective = search, objective
        self._started, self._before = time.perf_counter(), len(search.completed)
        if self._before:
            logger.info(f"{self._before} of {search.num_trials} trials are done already")

    def __call__(self, results: Mapping[str, Result]) -> None:
        search = self._search
        for id_, result in results.items():
            if result.failure:
                logger.info(f"trial {id_} failed: {result.failure}")
        done = len(search.completed)
        rate = (done - self._before) / (time.perf_counter() - self._started)
        left = 0 if search.finished else search.num_trials - done
        line = f"{done} of {search.num_trials} trials"
        if best := best_first(search.completed, maximize=self._objective.maximize):
            trial, result = best[0]
            line += f", best {self._objective.name} {result.score:.4f} (trial {trial.id})"
        logger.info(f"{line}, {left / rate:.0f} s left")
        if search.finished and done < search.num_trials:
            logger.info(f"the space has no more than {done} different trials")


def _train_all(search: Search, trainer: TrialTrainer, report: _Progress) -> None:
    while trials := search.ask(search.num_trials):
        for results in trainer(trials):
            search.tell(results)
            report(results)


def _serve(
    search: Search,
    fingerprint: Mapping[str, str],
    report: _Progress,
    run: RunFolder,
    me: Role | None,
    workers: int,
) -> None:
    """Has workers train what is searched: those that join, or so many of this machine."""
    address = me.address if me else Address()
    with Chief(search, fingerprint, address, expected=max(1, workers), told=report) as chief:
        if me:
            logger.info(f"waiting for workers at {chief.address}")
            chief.wait()
            return
        # A worker reads the rest from the run.
        command = [sys.executable, "-c", "from pipelines.cli.main import main; main()", "tune"]
        command += ["--out", str(run.path), "--resume"]
        with LocalWorkers(command, workers, chief, run.path / FOLDER / "workers"):
            chief.wait()


def _check_role(me: Role | None, workers: int) -> None:
    if me and workers:
        raise InputError(
            f"--workers starts workers on this machine, {ORACLE_IP} waits for those of others",
            expected="one of them",
            mend=f"leave out --workers, or unset {ORACLE_IP}",
        )
    if me and not me.is_chief:
        raise InputError(
            f"{me.name} is a worker and has no run of its own",
            expected=f"a {TUNER_ID} with `chief` in it",
            mend="call pipelines.search.work.work on workers, or use the command line on all",
        )


def _search_json(
    done: Sequence[tuple[Trial, Result]],
    best: tuple[Trial, Result],
    objective: Objective,
    space: SearchSpace,
) -> dict[str, Any]:
    """Returns what search.json holds, apart from the timing."""

    def entry(trial: Trial, result: Result) -> dict[str, Any]:
        told: dict[str, Any] = {
            "id": trial.id,
            "status": "FAILED" if result.score is None else "COMPLETED",
            "score": result.score,
            "score_std": result.score_std,
            "hyperparameters": dict(trial.values),
            "loss": result.loss,
            "epochs": result.epochs,
            "best_epoch": result.best_epoch,
        }
        return told | ({"failure": result.failure} if result.failure else {})

    return {
        "trials": [entry(trial, result) for trial, result in done],
        "best": entry(*best),
        "objective": {
            "name": objective.name,
            "direction": "max" if objective.maximize else "min",
        },
        "space": space.to_json(),
    }
