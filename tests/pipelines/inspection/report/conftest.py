"""A run and images whose classes and files have the names that an attacker would choose."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from pipelines.inspection.report.measured_run import MeasuredRun, measure_run
from pipelines.serving.run import Run
from tests.support.tiny import write_images

HOSTILE = {
    "blue": "<script>alert(1)</script>",
    "green": "</script><img src=x onerror=alert(2)>",
    "red": "a\"b' onmouseover='alert(3)' {{ 7 * 7 }}",
}
"""A hostile name for each class of `tiny_run`."""

HOSTILE_FILE = "<img src=x onerror=alert(4)>.jpg"


@pytest.fixture(scope="module")
def measured(tiny_run: Run) -> MeasuredRun:
    """`tiny_run` on its validation images."""
    return measure_run(tiny_run, None)


@pytest.fixture(scope="session")
def hostile(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A copy of `tiny_run` with hostile classes, and a table of new images, some labeled wrong."""
    folder = tmp_path_factory.mktemp("hostile")
    names = [HOSTILE[name] for name in tiny_run.class_names]
    rows = []
    write_images(folder, 8, seed=3)
    for label, name in enumerate(tiny_run.class_names):
        for number, file in enumerate(sorted((folder / name).iterdir())):
            # The first of each class bears the label of the next one.
            rows.append([f"{name}/{file.name}", names[(label + (number == 0)) % 3]])
    (folder / rows[0][0]).rename(folder / HOSTILE_FILE)
    rows[0][0] = HOSTILE_FILE
    with (folder / "table.csv").open("w", newline="") as table:
        csv.writer(table).writerows([["path", "label"], *rows])
    shutil.copytree(tiny_run.path, folder / "run")
    (folder / "run" / "labels.json").write_text(json.dumps(names))
    return Run.open(folder / "run"), folder / "table.csv"
