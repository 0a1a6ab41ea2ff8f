"""The chief and its workers, as processes on this machine."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.tuning.searching import ROOT, ListSearch, start_worker
from tuning.chief import Chief
from tuning.protocol import Address
from tuning.worker import RemoteSearch
from zoo.errors import InputError, WorkerError

LOOPBACK = Address("127.0.0.1", 0)


@pytest.fixture
def workers():
    """Workers started here, which do not outlive the test."""
    started = []

    def start(*args, **kwargs):
        started.append(start_worker(*args, **kwargs))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        worker.communicate()


def test_two_workers_do_each_trial_once(workers):
    search = ListSearch(12)
    with Chief(search, "same", LOOPBACK, expected=2) as chief:
        two = [workers(chief.address.port, name, seconds=0.05) for name in "ab"]
        chief.wait()
    assert [worker.wait(10) for worker in two] == [0, 0]
    done = [id for worker in two for id in worker.stdout.read().split()]
    assert sorted(done, key=int) == [str(i) for i in range(12)]
    assert {id: result["score"] for id, result in search.results.items()} == {
        str(i): i**2 for i in range(12)
    }
    assert {result["by"] for result in search.results.values()} == {"a", "b"}


def test_trials_of_a_killed_worker_are_done_by_another(workers):
    search = ListSearch(8)
    with Chief(search, "same", LOOPBACK, expected=2, lease_s=1.0) as chief:
        doomed = workers(chief.address.port, "doomed", seconds=60)
        taken = doomed.stdout.readline().split()
        assert len(taken) == 4
        doomed.kill()
        other = workers(chief.address.port, "other")
        chief.wait()
    assert other.wait(10) == 0
    assert sorted(search.results, key=int) == [str(i) for i in range(8)]
    assert {result["by"] for result in search.results.values()} == {"other"}
    # Those of the lost worker come back one by one: one of them may have been what killed it.
    batches = [line.split() for line in other.stdout.read().splitlines()]
    assert [batch for batch in batches if set(batch) & set(taken)] == [[id] for id in taken]


def test_trial_that_kills_every_worker_fails_and_the_others_are_done(workers):
    search = ListSearch(6)
    started = []

    def watch():
        # As `zoo tune --workers` does: a worker that ended is given up, and another started.
        if len(started) < 5 and (not started or started[-1].poll() is not None):
            if started:
                chief.lose(f"w{len(started)}")
            started.append(workers(chief.address.port, f"w{len(started) + 1}", poison="2"))

    with Chief(search, "same", LOOPBACK) as chief:
        chief.wait(watch)
    assert search.results["2"]["failure"] == "its worker was lost 2 times"
    assert [search.results[str(i)]["score"] for i in (0, 1, 3, 4, 5)] == [0, 1, 9, 16, 25]


def test_slow_worker_that_was_given_up_tells_nothing_twice(workers):
    search = ListSearch(1)
    with Chief(search, "same", LOOPBACK, lease_s=0.6) as chief:
        slow = workers(chief.address.port, "slow", seconds=1.0)
        slow.stdout.readline()
        os.kill(slow.pid, signal.SIGSTOP)
        quick = workers(chief.address.port, "quick")
        chief.wait(lambda: search.results and os.kill(slow.pid, signal.SIGCONT))
        assert [slow.wait(10), quick.wait(10)] == [0, 0]
    assert [result["by"] for result in search.results.values()] == ["quick"]


def test_worker_on_other_data_is_refused(workers):
    search = ListSearch(1)
    with Chief(search, "same", LOOPBACK) as chief:
        other = workers(chief.address.port, "other", fingerprint="another")
        said = other.communicate(timeout=20)[1]
        assert other.returncode == 2
        assert said.startswith("error: the chief at 127.0.0.1:")
        assert "other data" in said
        assert said.count("\n") == 1
        # It cost the search nothing.
        right = workers(chief.address.port, "right")
        chief.wait()
    assert right.wait(10) == 0
    assert search.results["0"]["by"] == "right"


CHIEF = """
from tests.tuning.searching import ListSearch
from tuning.chief import Chief
from tuning.protocol import Address
with Chief(ListSearch(4), "same", Address("127.0.0.1", 0), lease_s=1.5) as chief:
    print(chief.address.port, flush=True)
    chief.wait()
"""


def test_workers_end_when_their_chief_was_killed(workers):
    chief = subprocess.Popen(
        [sys.executable, "-c", CHIEF],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    port = int(chief.stdout.readline())
    # One is in the middle of a trial that takes a minute, the other waits for one.
    busy = workers(port, "busy", seconds=60)
    assert busy.stdout.readline()
    idle = workers(port, "idle")
    time.sleep(0.5)
    chief.kill()
    chief.communicate()
    for worker in (busy, idle):
        said = worker.communicate(timeout=30)[1]
        assert worker.returncode == 1
        assert said.startswith(f"error: the chief at 127.0.0.1:{port} is gone")
        assert said.count("\n") == 1


def test_what_the_search_raises_ends_the_chief():
    class Failing(ListSearch):
        def tell(self, result):
            raise WorkerError("all trials failed")

    def work():
        with RemoteSearch(chief.address, "same", "here", gone_s=1) as search:
            for trial in search.ask(1):
                search.tell({"id": trial["id"], "failure": "the loss is not a number"})

    with (
        Chief(Failing(1), "same", LOOPBACK) as chief,
        pytest.raises(WorkerError, match="is gone; received WorkerError: all trials failed"),
    ):
        work()
    with pytest.raises(WorkerError, match=r"^all trials failed"):
        chief.wait()


def test_failure_reaches_the_chief_word_for_word():
    search = ListSearch(1)
    with (
        Chief(search, "same", LOOPBACK) as chief,
        RemoteSearch(chief.address, "same", "here") as remote,
    ):
        (trial,) = remote.ask(5)
        assert trial == {"id": "0", "x": 0, "units": [0, 0]}
        remote.tell({"id": "0", "failure": "loss = nan in epoch 3; §«»"})
        assert remote.ask(5) == []
    assert search.results["0"]["failure"] == "loss = nan in epoch 3; §«»"


def test_chief_without_workers_gives_up():
    with (
        Chief(ListSearch(1), "same", LOOPBACK, patience_s=0.3) as chief,
        pytest.raises(WorkerError, match=r"no worker for 0 s at 127\.0\.0\.1.*--resume"),
    ):
        chief.wait()


def test_worker_without_a_chief_gives_up():
    with Chief(ListSearch(1), "same", LOOPBACK) as chief:
        address = chief.address
    remote = RemoteSearch(address, "same", "here", join_s=0.5)
    with pytest.raises(WorkerError, match=r"there is no chief at 127\.0\.0\.1"):
        remote.__enter__()


def test_two_chiefs_cannot_share_a_port():
    with (
        Chief(ListSearch(1), "same", LOOPBACK) as chief,
        pytest.raises(InputError, match=f"nothing can listen at 127.0.0.1:{chief.address.port}"),
    ):
        Chief(ListSearch(1), "same", chief.address)


@pytest.mark.parametrize(
    ("address", "written"),
    [(Address("10.0.0.1", 8000), "10.0.0.1:8000"), (Address("::1", 8000), "[::1]:8000")],
)
def test_address_is_written_as_grpc_reads_it(address, written):
    assert str(address) == written
