"""Workers of one machine: started, seen after, ended. Each is a real process."""

import os
import sys
import time

import pytest

from pipelines.runtime.devices import num_cores
from pipelines.search.workers import LocalWorkers
from tests.support.remote_workers import ROOT, SAME, scores, search_numbers, trained_by
from tuning.distributed.chief import Chief
from tuning.distributed.protocol import Address
from zoo.errors import WorkerError

WORKER = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from pipelines.search.roles import role
from tuning.distributed.worker import RemoteChief
from tuning.hyperparameters.trial import Result

me = role()
print(f"{me.name} on {os.environ['TF_NUM_INTRAOP_THREADS']} threads", flush=True)

def train(trials):
    for trial in trials:
        if trial.id == sys.argv[2] and me.name in ("worker-1", "worker-2"):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        yield {trial.id: Result(score=float(trial.values["x"] ** 2), epochs=os.getpid())}

same = {"the images": "flowers", "the code": "1.0"}
with RemoteChief(me.address, same, me.name, gone_s=4) as chief:
    chief.work(train)
"""


def search_with(tmp_path, count, num_trials, *arguments, script=WORKER):
    command = [sys.executable, "-c", script, str(ROOT), *arguments]
    search = search_numbers(tmp_path, num_trials)
    with (
        Chief(search, SAME, Address(), expected=count) as chief,
        LocalWorkers(command, count, chief, tmp_path / "logs"),
    ):
        chief.wait()
    return search


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("count", [1, 2])
def test_workers_share_a_search_and_end_with_it(tmp_path, count):
    search = search_with(tmp_path, count, 10, "none")
    assert scores(search) == {str(i): float(i**2) for i in range(10)}
    assert all(map(gone, trained_by(search)))
    threads = max(1, num_cores() // count)
    logs = {path.stem: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert logs == {
        f"worker-{i + 1}": f"worker-{i + 1} on {threads} threads\n" for i in range(count)
    }


def test_killed_worker_is_noticed_at_once_and_replaced(tmp_path, capsys):
    started = time.monotonic()
    search = search_with(tmp_path, 2, 8, "0")
    assert time.monotonic() - started < 20  # a lease is longer
    # The trial killed two workers, once among others and once alone, and then was done.
    assert scores(search) == {str(i): float(i**2) for i in range(8)}
    said = capsys.readouterr().err
    assert "ended by signal 9; its trials go to others" in said


def test_worker_that_cannot_start_ends_the_search_in_its_own_words(tmp_path):
    script = "import sys; sys.exit('error: no weights here')"
    with pytest.raises(
        WorkerError,
        match=r"no worker is left: worker-\d ended with status 1 before its first trial; "
        "received error: no weights here; see ",
    ):
        search_with(tmp_path, 2, 3, script=script)


def test_workers_do_not_outlive_a_search_that_fails(tmp_path):
    command = [sys.executable, "-c", WORKER, str(ROOT), "none"]
    search = search_numbers(tmp_path, 500, batch=1)

    def interrupt():
        # At the first look after a result, as Ctrl-C would. A signal would be ignored where
        # the tests run in the background.
        if scores(search):
            raise KeyboardInterrupt

    def interrupted():
        with (
            Chief(search, SAME, Address()) as chief,
            LocalWorkers(command, 2, chief, tmp_path / "logs"),
        ):
            chief.watch = interrupt
            chief.wait()

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert trained_by(search)
    assert all(map(gone, trained_by(search)))
