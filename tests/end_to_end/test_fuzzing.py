"""Mutated inputs of every reader give a value or an error of one line, in bounded time and memory.

`python -m tests.support.fuzzing_records NAME 50` runs fifty cases of one reader.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("readers", "max_mb"), [("settings", 400), ("records", 400), ("models", 400), ("images", 1500)]
)
def test_mutated_inputs_are_answered(readers: str, max_mb: int, root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"tests.support.fuzzing_{readers}"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "ZOO_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    faults = {name: told["faults"] for name, told in found["readers"].items() if told["faults"]}
    assert faults == {}
    assert all(told["cases"] >= 2000 for told in found["readers"].values())
    # A case that only ever is refused says little.
    assert all(told["read"] > 20 for name, told in found["readers"].items() if name != "seal")
    assert found["peak_mb"] < max_mb
    assert found["tensorflow"] is (readers == "images")
