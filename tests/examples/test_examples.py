"""Every example runs as a program, prints what it promises and is short."""

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


RUN = """
import contextlib, os, runpy, sys
from pathlib import Path

start = Path.cwd()
for example in sys.argv[1:]:
    folder = start / Path(example).name
    folder.mkdir()
    os.chdir(folder)
    sys.argv = [example] if "own" in folder.name else [example, "out"]
    with open("printed.txt", "w") as printed, contextlib.redirect_stdout(printed):
        runpy.run_path(example, run_name="__main__")
"""
EXPORTS = [name for name in PRINTED if "export" in name]


@pytest.mark.parametrize(
    "names",
    [
        [name for name in PRINTED if name not in EXPORTS],
        EXPORTS,
    ],
    ids=["the others", "with an export"],
)
@pytest.mark.slow
def test_examples_run(names: list[str], tmp_path: Path) -> None:
    # One process runs one after the other: to start TensorFlow takes longer than an example.
    done = subprocess.run(
        [sys.executable, "-c", RUN, *(str(ROOT / "examples" / name) for name in names)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    for name in names:
        printed = (tmp_path / name / "printed.txt").read_text(encoding="utf-8")
        for text in PRINTED[name]:
            assert text in printed
        if name == "preview_augmentation.py":
            pictures = {file.name for file in (tmp_path / name / "out").iterdir()}
            assert pictures == {"preset.png", "stronger.png"}
