"""The chief and its workers, as processes on this machine."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.support.remote_workers import (
    ROOT,
    SAME,
    scores,
    search_numbers,
    start_worker,
    trained_by,
    trial_of,
)
from tuning.distributed.chief import Chief
from tuning.distributed.protocol import Address
from tuning.distributed.worker import RemoteChief
from tuning.hyperparameters.image_scores import ImageScores
from tuning.hyperparameters.trial import Result
from zoo.errors import InputError, WorkerError


@pytest.fixture
def workers():
    """Starts workers, which do not outlive the test."""
    started = []

    def start(*args, **kwargs):
        started.append(start_worker(*args, **kwargs))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        worker.communicate()


def squares(count):
    return {str(i): float(i**2) for i in range(count)}


def test_two_workers_do_each_trial_once_batch_after_batch(workers, tmp_path):
    search = search_numbers(tmp_path, 16, batch=8)
    with Chief(search, SAME, Address(), expected=2) as chief:
        two = [workers(chief.address.port, name, seconds=0.05) for name in "ab"]
        chief.wait()
    assert [worker.wait(10) for worker in two] == [0, 0]
    assert scores(search) == squares(16)
    assert trained_by(search) == {worker.pid for worker in two}
    given = [id for worker in two for id in worker.stdout.read().split()]
    assert sorted(given, key=int) == [str(i) for i in range(16)]


def test_trials_of_a_killed_worker_are_done_by_another(workers, tmp_path):
    search = search_numbers(tmp_path, 8)
    with Chief(search, SAME, Address(), lease_s=2.0) as chief:
        doomed = workers(chief.address.port, "doomed", seconds=60)
        taken = doomed.stdout.readline().split()
        doomed.kill()
        other = workers(chief.address.port, "other")
        chief.wait()
    assert other.wait(10) == 0
    assert scores(search) == squares(8)
    assert trained_by(search) == {other.pid}
    # Those of the lost worker come back one by one: one of them may have been what killed it.
    given = [line.split() for line in other.stdout.read().splitlines()]
    assert len(taken) == 4
    assert [ids for ids in given if set(ids) & set(taken)] == [[id] for id in taken]


def test_trial_that_kills_every_worker_fails_and_the_others_are_done(workers, tmp_path):
    search = search_numbers(tmp_path, 6)
    started = []

    def watch():
        # A worker that ended is given up, and another started.
        if not started or started[-1].poll() is not None:
            chief.lose(f"w{len(started)}")
            started.append(workers(chief.address.port, f"w{len(started) + 1}", poison="2"))

    with Chief(search, SAME, Address()) as chief:
        chief.watch = watch
        chief.wait()
    assert scores(search) == squares(6) | {"2": None}
    assert search.completed[2][1] == Result(failure="its worker was lost 2 times")


def test_slow_worker_that_was_given_up_tells_nothing_twice(workers, tmp_path):
    search = search_numbers(tmp_path, 3, batch=1)
    with Chief(search, SAME, Address(), lease_s=0.6) as chief:
        slow = workers(chief.address.port, "slow", seconds=1.0)
        slow.stdout.readline()
        os.kill(slow.pid, signal.SIGSTOP)
        quick = workers(chief.address.port, "quick", seconds=0.4)

        def watch():
            # Once the other has done its trial, it goes on, and is the only worker left.
            if "0" in scores(search) and quick.poll() is None:
                quick.kill()
                quick.wait()
                os.kill(slow.pid, signal.SIGCONT)

        chief.watch = watch
        chief.wait()
    assert slow.wait(10) == 0
    assert scores(search) == squares(3)
    assert search.completed[0][1].epochs == quick.pid
    assert search.completed[2][1].epochs == slow.pid


def test_worker_on_other_data_is_refused(workers, tmp_path):
    search = search_numbers(tmp_path, 2)
    with Chief(search, SAME, Address()) as chief:
        other = workers(chief.address.port, "other", data="birds")
        said = other.communicate(timeout=20)[1]
        assert other.returncode == 2
        assert said == (
            f"error: the chief at 127.0.0.1:{chief.address.port} is of another search; expected "
            "the same in all of its processes; received other values of the images; start every "
            "worker by the chief's own command\n"
        )
        # It cost the search nothing.
        right = workers(chief.address.port, "right")
        chief.wait()
    assert right.wait(10) == 0
    assert scores(search) == squares(2)


CHIEF = """
import sys
from pathlib import Path
from tests.support.remote_workers import SAME, search_numbers
from tuning.distributed.chief import Chief
from tuning.distributed.protocol import Address
with Chief(search_numbers(Path(sys.argv[1]), 6), SAME, Address(), lease_s=1.5) as chief:
    print(chief.address.port, flush=True)
    chief.wait()
"""


def test_workers_end_when_their_chief_was_killed_and_another_goes_on(workers, tmp_path):
    chief = subprocess.Popen(
        [sys.executable, "-c", CHIEF, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    port = int(chief.stdout.readline())
    # Two are in the middle of trials that take a minute, the third waits for one.
    three = [workers(port, name, seconds=60) for name in ("busy", "busy too")]
    first = [worker.stdout.readline().split() for worker in three]
    three.append(workers(port, "quick"))
    done = three[-1].stdout.readline().split()
    assert done
    time.sleep(0.5)
    chief.kill()
    chief.communicate()
    for worker in three:
        said = worker.communicate(timeout=30)[1]
        assert worker.returncode == 1
        assert said.startswith(f"error: the chief at 127.0.0.1:{port} is gone")
        assert said.count("\n") == 1

    search = search_numbers(tmp_path, 6)
    assert set(scores(search)) >= set(done)
    with Chief(search, SAME, Address()) as again:
        last = workers(again.address.port, "last")
        again.wait()
    assert scores(search) == squares(6)
    redone = last.communicate()[0].split()
    assert not set(redone) & set(done)
    assert set(redone) >= {id for ids in first for id in ids}


def test_failure_reaches_the_search_word_for_word(tmp_path):
    failed = Result(failure="loss = nan in epoch 3; §«»", epochs=3)
    search = search_numbers(tmp_path, 1)
    with Chief(search, SAME, Address()) as chief:
        with RemoteChief(chief.address, SAME, "here") as remote:
            assert remote.ask() == [trial_of(0)]
            remote.tell({"0": failed})
            assert remote.ask() == []
        chief.wait()
    assert search.completed == [(trial_of(0), failed)]


def test_what_every_image_scored_reaches_the_search(tmp_path):
    shares = np.random.default_rng(0).random((2, 10**6))
    kept = ImageScores.of(shares, shares)
    with Chief(search_numbers(tmp_path, 2), SAME, Address()) as chief:
        with RemoteChief(chief.address, SAME, "here") as remote:
            while trials := remote.ask():
                remote.tell({t.id: Result(score=0.5, image_scores=kept) for t in trials})
        chief.wait()
    for number in range(2):
        assert ImageScores.load(tmp_path / "image_scores" / f"{number}.npz") == kept


def test_what_the_search_raises_ends_the_chief(tmp_path):
    search = search_numbers(tmp_path / "search", 1)

    def work():
        with RemoteChief(chief.address, SAME, "here", gone_s=1) as remote:
            remote.ask()
            # As if the disk were full: there is no folder to write to.
            (tmp_path / "search").write_text("")
            remote.tell({"0": Result(score=1.0)})

    with Chief(search, SAME, Address()) as chief:
        with pytest.raises(WorkerError, match="is gone; received FileExistsError"):
            work()
        with pytest.raises(FileExistsError):
            chief.wait()


def test_chief_without_workers_gives_up(tmp_path):
    with (
        Chief(search_numbers(tmp_path, 1), SAME, Address(), patience_s=0.3) as chief,
        pytest.raises(WorkerError, match=r"no worker for 0 s at 127\.0\.0\.1.*--resume"),
    ):
        chief.wait()


def test_worker_without_a_chief_gives_up(tmp_path):
    with Chief(search_numbers(tmp_path, 1), SAME, Address()) as chief:
        address = chief.address
    remote = RemoteChief(address, SAME, "here", join_s=0.5)
    with pytest.raises(WorkerError, match=r"there is no chief at 127\.0\.0\.1"):
        remote.__enter__()


def test_two_chiefs_cannot_share_a_port(tmp_path):
    search = search_numbers(tmp_path, 1)
    with (
        Chief(search, SAME, Address()) as chief,
        pytest.raises(InputError, match=f"nothing can listen at 127.0.0.1:{chief.address.port}"),
    ):
        Chief(search, SAME, chief.address)


@pytest.mark.parametrize(
    ("address", "written"),
    [(Address("10.0.0.1", 8000), "10.0.0.1:8000"), (Address("::1", 8000), "[::1]:8000")],
)
def test_address_is_written_as_grpc_reads_it(address, written):
    assert str(address) == written
