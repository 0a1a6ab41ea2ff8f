"""Tasks of a search that lose their workers: one trial fails, the rest goes on."""

from __future__ import annotations

from pipelines.runtime.task_loop import ATTEMPTS
from pipelines.search.cluster_trials import _after_loss, _Task
from tuning.hyperparameters.trial import Result, Trial
from zoo.errors import WorkerError


def test_trial_that_takes_its_workers_with_it_fails_and_the_others_are_done() -> None:
    trials = [Trial(str(number), {}) for number in range(9)]
    waiting, done, results = [_Task(trials, alone=False)], list[str](), dict[str, Result]()
    lost = 0
    while waiting:
        task = waiting.pop()
        ids = [trial.id for trial in task.trials]
        if "5" not in ids:
            done += ids
            continue
        lost += 1
        failed, again = _after_loss(task, WorkerError("the process ended"))
        results |= failed or {}
        waiting += again
    assert results == {"5": Result(failure=f"its worker was lost {ATTEMPTS} times")}
    assert sorted(done) == [trial.id for trial in trials if trial.id != "5"]
    assert lost == 2 + 2 + ATTEMPTS, "a stack and its part are tried twice each"


def test_task_that_loses_one_worker_stays_as_it_is() -> None:
    task = _Task([Trial("0", {}), Trial("1", {})], alone=False)
    assert _after_loss(task, WorkerError("the process ended")) == (
        None,
        [_Task(task.trials, alone=False, lost=1)],
    )
