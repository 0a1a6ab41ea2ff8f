"""Progress: log lines by default, and whatever an application renders instead."""

from __future__ import annotations

import time

import pytest

from tests.support.progress import ProgressRecorder
from zoo.progress import track


def test_progress_is_logged_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with track("search", 4, unit="trials", done=1, log_every_s=0) as progress:
        time.sleep(0.02)
        progress.advance(note="best 0.9")
        progress.update(4, 4)
    assert capsys.readouterr().err == (
        "search: 2 of 4 trials, best 0.9, 0 s left\nsearch: 4 of 4 trials, 0 s left\n"
    )


def test_progress_is_logged_every_few_seconds_or_not_at_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for log_every_s in (60.0, None):
        with track("features", None, unit="views", log_every_s=log_every_s) as progress:
            progress.advance(3)
            assert progress.done == 3
    assert capsys.readouterr().err == ""


def test_a_long_job_is_first_logged_soon(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.progress._FIRST_S", 0.02)
    for total, lines in ((10**6, 1), (3, 0)):
        with track("examining", total, unit="images") as progress:
            progress.advance()
            time.sleep(0.03)
            progress.advance()
            time.sleep(0.03)
            progress.advance()
        assert capsys.readouterr().err.count(f"examining: 2 of {total:,} images") == lines


def test_progress_goes_to_the_renderer_and_not_to_the_log(
    progress: ProgressRecorder, capsys: pytest.CaptureFixture[str]
) -> None:
    with track("features", 10, unit="views", log_every_s=0) as features:
        features.advance(4, note="half")
        (job,) = progress.jobs
        assert not job.closed
    assert job.closed
    assert job.updates == [(0, 10, ""), (4, 10, "half")]
    assert capsys.readouterr().err == ""
