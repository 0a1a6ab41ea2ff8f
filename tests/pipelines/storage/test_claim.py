"""Claims: one job a run folder, whatever becomes of its process or its folder."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.pretraining.pretrain import pretrain
from pipelines.search.plan import claim_search
from pipelines.search.tune import tune
from pipelines.storage import claim
from pipelines.storage.claim import CLAIM_FILE, claim_folder
from pipelines.storage.run_folder import RunFolder
from pipelines.training.train import train
from zoo.errors import RunError, TrainingError

HOLD = """
import sys
from pathlib import Path
from pipelines.storage.claim import claim_folder
with claim_folder(Path(sys.argv[1])):
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has claimed tmp_path/run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == "claimed\n"
        yield process
        process.kill()


def test_second_job_is_told_who_has_the_folder(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    expected = rf"another job writes into .*/run; .*; received process {holder.pid} on .+, since "
    for resume in (False, True):
        with (
            pytest.raises(RunError, match=expected),
            RunFolder.claim(tmp_path / "run", resume=resume),
        ):
            pass
    with pytest.raises(RunError, match=expected), claim_search(tmp_path / "run", resume=False):
        pass
    assert (tmp_path / "run" / CLAIM_FILE).is_file()


@pytest.mark.parametrize("job", [train, tune, pretrain])
def test_jobs_claim_their_folder_before_they_look_at_the_data(
    job: object, holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=f"received process {holder.pid} on"):
        job(tmp_path / "no images", out=tmp_path / "run")  # type: ignore[operator]


def test_claim_of_a_killed_job_is_taken_over(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    assert (tmp_path / "run" / CLAIM_FILE).is_file(), "a kill leaves the file"
    with RunFolder.claim(tmp_path / "run", resume=False):
        pass
    assert not (tmp_path / "run" / CLAIM_FILE).exists()


def test_claim_excludes_other_threads_and_admits_jobs_within(tmp_path: Path) -> None:
    refused = []

    def claim_too() -> None:
        try:
            with claim_folder(tmp_path):
                pass
        except RunError as error:
            refused.append(str(error))

    with claim_folder(tmp_path), claim_folder(tmp_path / "." / "x" / ".."):
        other = threading.Thread(target=claim_too)
        other.start()
        other.join()
    assert len(refused) == 1
    assert f"received process {os.getpid()} on" in refused[0]
    assert os.listdir(tmp_path) == []


def test_one_of_many_at_once_has_the_folder(tmp_path: Path) -> None:
    start, end = threading.Barrier(8), threading.Barrier(8)
    outcomes = []

    def claim_it() -> None:
        start.wait()
        try:
            with claim_folder(tmp_path / "run"):
                outcomes.append("claimed")
                end.wait()
        except RunError:
            outcomes.append("refused")
            end.wait()

    threads = [threading.Thread(target=claim_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["claimed"] + ["refused"] * 7


def test_job_that_writes_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with claim_folder(tmp_path / "a" / "b" / "run"):
        pass
    assert os.listdir(tmp_path) == []
    with claim_folder(tmp_path / "a" / "b" / "run") as held:
        (held.folder / "recipe.toml").write_text("")
    assert os.listdir(tmp_path / "a" / "b" / "run") == ["recipe.toml"]


def test_folder_that_vanished_is_an_error(tmp_path: Path) -> None:
    removed = r"run was removed or replaced while the job ran"
    with RunFolder(tmp_path / "run").claimed() as run:
        claimed = run.path.rename(tmp_path / "moved")
        with pytest.raises(TrainingError, match=removed):
            run.save_metrics({"val": {}})
        claimed.rename(run.path)
    assert not (tmp_path / "run").exists(), "nothing is written after it"
    with pytest.raises(TrainingError, match=removed), claim_folder(tmp_path / "run"):
        shutil.rmtree(tmp_path / "run")


def test_without_locks_the_record_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(claim, "try_lock", refuse)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid, host in ((ended.pid, None), (os.getpid(), None), (ended.pid, "elsewhere")):
        record = claim._describe_self().decode().replace(str(os.getpid()), str(pid))
        if host:
            record = record.replace(claim.platform.node(), host)
        (tmp_path / CLAIM_FILE).write_text(record)
        if pid == ended.pid and not host:
            with claim_folder(tmp_path):
                pass
        else:
            with pytest.raises(RunError, match=r"remove .*/\.claim"), claim_folder(tmp_path):
                pass


@pytest.mark.parametrize("resume", [False, True])
def test_run_killed_at_its_first_file_can_be_begun_anew(resume: bool, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / CLAIM_FILE).write_text("")
    (run / ".recipe.0a1b2c3d.toml").write_text("half of")
    with RunFolder.claim(run, resume=resume):
        assert os.listdir(run) == [CLAIM_FILE]


def test_leftovers_of_killed_jobs_are_cleared(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "search").mkdir(parents=True)
    (run / "checkpoint").mkdir()
    (run / "recipe.toml").write_text("")
    (run / "search" / "plan.json").write_text("")
    left = [".pretrained.00112233.npz", "search/.journal.0a1b2c3d.json"]
    left += ["checkpoint/.last.0a1b2c3d.npz", ".card.0a1b2c3d.md"]
    kept = [".gitignore", "recipe.toml", "search/plan.json", ".notes.txt"]
    for name in left + kept:
        (run / name).write_text("half of")
    (run / ".hparams.0a1b2c3d").mkdir()
    with claim_search(run, resume=True):
        files = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    assert files == {*kept, CLAIM_FILE}
    assert not (run / ".hparams.0a1b2c3d").exists()


@pytest.mark.parametrize(
    "record",
    [b"", b"[" * 1000, b"3", b'{"pid": Infinity, "host": "a", "since": ""}', b'{"pid": NaN}'],
)
def test_holder_that_is_not_told_is_another_process(record: bytes) -> None:
    assert claim._describe_holder(record) == "another process"
    assert not claim._holder_lives(record)


def test_number_that_no_process_has_is_of_none_that_lives() -> None:
    record = {"pid": 10**30, "host": platform.node(), "since": ""}
    assert not claim._holder_lives(json.dumps(record).encode())
