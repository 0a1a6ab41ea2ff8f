"""Jobs whose n-th file operation fails, by a kill, a full or a failing disk: nothing is lost.

See `tests.support.fault_enumeration`. `ZOO_ALL_FAULTS=1` tries every operation of every job,
which takes an hour; without it, all of the two jobs that take milliseconds, and a few, evenly
spread, of three that start TensorFlow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fault_jobs import JOBS

SAMPLED = {
    "train": (2, 1),
    "tune": (2, 1),
    "export": (2, 1),
}
"""By job, states that are gone on from, and faults of each kind."""

ALL = bool(os.environ.get("ZOO_ALL_FAULTS"))
LEFT_OUT = () if ALL else ("pretrain", "features")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("job", [job for job in JOBS if job not in LEFT_OUT])
def test_job_goes_on_after_any_fault_and_ends_with_the_same_bits(job: str, root: Path) -> None:
    command = [sys.executable, "-m", "tests.support.fault_enumeration", job]
    if job in SAMPLED and not ALL:
        resumes, faults = SAMPLED[job]
        command += ["--resumes", str(resumes), "--faults", str(faults)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    print(report)
    assert report["operations"] > 20
    assert report["resumed"] > 1
    assert sum(report["faults"].values()) > 2
    assert report["half_written"] == []
    assert report["changed"] == []
    assert report["wrong"] == []
