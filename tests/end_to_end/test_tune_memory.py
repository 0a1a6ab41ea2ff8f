"""The memory of a search does not grow with the number of trials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_after_300_trials_is_within_a_tenth_of_that_after_30(
    tiny_folder: Path, tmp_path: Path, root: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.search_memory", str(tiny_folder), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout)
    assert sizes["300"] < 1.1 * sizes["30"], sizes
