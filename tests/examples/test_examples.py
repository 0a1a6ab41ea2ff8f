"""Every example runs in a process of its own, prints what it promises and is short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PRINTED = {
    "fine_tune_and_export.py": ["test accuracy 0.", "lowest recall: ", "digits/1: "],
    "own_training_loop.py": ["Epoch 5/5", "test: loss "],
    "preview_augmentation.py": ["preset.png", "stronger.png"],
    "search_a_space.py": ["trial ", "best run: validation accuracy 0."],
    "several_tasks.py": ["size: mean absolute error ", "0.png: shape "],
}
"""What each example prints, among other things."""


def test_every_example_has_its_expectations() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_example_is_short(name: str) -> None:
    assert len((ROOT / "examples" / name).read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if "export" in name else pytest.mark.train)
        for name in PRINTED
    ],
)
def test_example_runs(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *([] if "own" in name else ["out"])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    for text in PRINTED[name]:
        assert text in done.stdout
    if name == "preview_augmentation.py":
        assert {file.name for file in (tmp_path / "out").iterdir()} == {
            "preset.png",
            "stronger.png",
        }
