"""Executors of this machine: the results of a task, whatever runs it and whatever it does."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.runtime.cluster import check_cluster, check_gpus, open_cluster
from pipelines.runtime.devices import num_cores
from pipelines.runtime.executor import (
    RENEWED_AFTER,
    Executor,
    InThisProcess,
    worker_environment,
)
from pipelines.runtime.processes import Processes
from tests.support import tasks
from zoo.errors import InputError, WorkerError

pytestmark = pytest.mark.train

KINDS: dict[str, Callable[[], Executor]] = {
    "this process": InThisProcess,
    "a process": lambda: Processes(1),
    "processes": lambda: Processes(2),
}


@pytest.mark.parametrize("build", KINDS.values(), ids=KINDS)
def test_future_has_what_a_task_returns_or_raises(build: Callable[[], Executor]) -> None:
    with build() as executor:
        futures = [executor.submit(tasks.square, number) for number in range(5)]
        refused = executor.submit(tasks.refuse, "this")
        assert [future.result() for future in futures] == [0, 1, 4, 9, 16]
        with pytest.raises(InputError, match=r"^the value is wrong; .*; received this$"):
            refused.result()


def test_this_process_runs_its_tasks_itself() -> None:
    assert open_cluster(None).submit(tasks.process_id).result() == os.getpid()


def test_processes_run_side_by_side_with_their_share_of_the_cores(tmp_path: Path) -> None:
    with open_cluster("local:2") as executor:
        assert executor.num_slots == 2
        # Neither ends before both have begun.
        started = [tmp_path / name for name in "ab"]
        first = executor.submit(tasks.wait_for, started[1], started[0])
        second = executor.submit(tasks.wait_for, started[0], started[1])
        assert len({first.result(), second.result(), os.getpid()}) == 3
        threads = executor.submit(tasks.variable, "OMP_NUM_THREADS").result()
        assert threads == str(max(1, num_cores() // 2))


@pytest.mark.parametrize(
    ("cores", "given", "share", "threads"),
    [
        (16, "", 4, "4"),
        (16, "", 1, "2"),
        (1, "", 1, "1"),
        (16, "1", 8, "1"),
        (16, "0", 1, "2"),
        (16, "many", 1, "2"),
    ],
)
def test_tensorflow_has_one_thread_only_where_this_process_has(
    monkeypatch: pytest.MonkeyPatch, cores: int, given: str, share: int, threads: str
) -> None:
    monkeypatch.setattr("pipelines.runtime.executor.num_cores", lambda: cores)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", given)
    environment = worker_environment(share)
    assert environment["TF_NUM_INTRAOP_THREADS"] == threads
    assert environment["OMP_NUM_THREADS"] == str(share)


def test_process_is_renewed() -> None:
    with Processes(1) as executor:
        done = [executor.submit(tasks.process_id).result() for _ in range(RENEWED_AFTER + 1)]
    assert len(set(done)) == 2
    assert done[0] == done[-2] != done[-1]


def test_process_is_renewed_as_often_as_a_job_says() -> None:
    with open_cluster("local:1", renewed_after=2) as executor:
        done = [executor.submit(tasks.process_id).result() for _ in range(4)]
    assert done[0] == done[1] != done[2] == done[3]


@pytest.mark.parametrize("build", KINDS.values(), ids=KINDS)
def test_processes_warm_up_before_their_first_task(
    build: Callable[[], Executor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_TEST_MARKS", str(tmp_path))
    with build() as executor:
        executor.warm_up(tasks.leave_mark)
        elsewhere = not isinstance(executor, InThisProcess)
        _wait_until(lambda: len(list(tmp_path.iterdir())) == executor.num_slots * elsewhere)
        process = str(executor.submit(tasks.process_id).result())
    assert (process in {mark.name for mark in tmp_path.iterdir()}) == elsewhere


def test_what_a_warm_up_raises_is_left_to_a_task() -> None:
    with Processes(1) as executor:
        executor.warm_up(tasks.fail)
        assert executor.submit(tasks.square, 3).result() == 9


def test_lost_process_costs_its_task_alone(tmp_path: Path) -> None:
    with Processes(2) as executor:
        lost = executor.submit(tasks.die)
        others = [executor.submit(tasks.square, number) for number in range(4)]
        with pytest.raises(WorkerError, match="ended before the task did; received signal 9"):
            lost.result()
        assert [future.result() for future in others] == [0, 1, 4, 9]
        again = executor.submit(tasks.die_once, tmp_path / "marker")
        with pytest.raises(WorkerError):
            again.result()
        assert executor.submit(tasks.die_once, tmp_path / "marker").result() != os.getpid()


def test_records_of_processes_are_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pipelines"):
        with Processes(1) as executor:
            executor.submit(tasks.log, "everything").result()
        with open_cluster("local:1") as executor:
            executor.submit(tasks.log, "warnings").result()
    said = [record.getMessage() for record in caplog.records if record.name == "pipelines.tests"]
    assert said == ["everything", "less than everything", "warnings"]


def test_what_a_task_prints_is_no_result(capfd: pytest.CaptureFixture[str]) -> None:
    with Processes(1) as executor:
        assert executor.submit(tasks.print_noise).result() == "result"
    out, err = capfd.readouterr()
    assert (out, err.split()) == ("", ["noise", "more", "noise"])


def test_closing_ends_what_runs(tmp_path: Path) -> None:
    started = tmp_path / "started"
    with Processes(1) as executor:
        endless = executor.submit(tasks.wait_for, tmp_path / "never", started)
        waiting = executor.submit(tasks.square, 3)
        _wait_until(started.exists)
        process = int(started.read_text())
    assert isinstance(endless.exception(), WorkerError)
    assert waiting.cancelled()
    _wait_until(lambda: _is_gone(process))


def test_processes_of_a_machine_with_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.runtime.cluster.count_gpus", lambda: 1)
    with (
        Processes(1) as executor,
        pytest.raises(InputError, match=r"share its GPUs.*`ray start --head`, and use --cluster"),
    ):
        check_gpus(executor)
    check_gpus(InThisProcess())


DRIVER = """
import sys
from pathlib import Path
from pipelines.runtime.cluster import open_cluster
from tests.support import tasks
folder = Path(sys.argv[1])
with open_cluster("local:2") as executor:
    both = [executor.submit(tasks.wait_for, folder / "never", folder / name) for name in "ab"]
    both[0].result()
"""


def test_processes_end_with_a_driver_that_is_killed(tmp_path: Path, root: Path) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], cwd=root)
    try:
        files = [tmp_path / name for name in "ab"]
        _wait_until(lambda: all(file.exists() and file.read_text() for file in files))
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    for file in files:
        process = int(file.read_text())
        _wait_until(lambda process=process: _is_gone(process))


@pytest.mark.parametrize(
    "cluster", ["local", "local:1", "local:12", "auto", "head:6379", "[::1]:1"]
)
def test_cluster_is_named(cluster: str) -> None:
    check_cluster(cluster)


@pytest.mark.parametrize(
    "cluster", ["", "local:0", "local:", "remote", "ray://head:10001", "h:1/x"]
)
def test_what_names_no_cluster_is_refused(cluster: str) -> None:
    with pytest.raises(InputError, match=r"--cluster names no cluster; expected local, local:N, "):
        open_cluster(cluster)


def test_what_lacks_ray_says_what_to_install_and_what_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError('no ray')\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    with pytest.raises(
        InputError, match=r"expected ray; .*'transfer-zoo\[cluster\]', or use --cluster local$"
    ):
        open_cluster("auto")
    with open_cluster("local:1") as executor:
        assert executor.submit(tasks.square, 2).result() == 4


def _is_gone(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
