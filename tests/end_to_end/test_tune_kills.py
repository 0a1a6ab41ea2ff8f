"""A search that is killed and resumed repeatedly ends as one that runs undisturbed.

`ZOO_ALL_FAULTS=1` kills it twenty times.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.serving.run import Run
from tests.support.tiny import TINY

pytestmark = pytest.mark.slow

KILLS = 20 if os.environ.get("ZOO_ALL_FAULTS") else 5

SPACE: dict[str, Any] = {
    "head.hidden": [[], [8]],
    "optimizer.name": ["nesterov", "adam", "adafactor"],
    "optimizer.learning_rate": {"min": 1e-3, "max": 0.3, "log": True},
}


def search(folder: str, out: str) -> None:
    """Runs or resumes the search; the test kills the processes that call it."""
    from pipelines.recipe.recipe import Recipe
    from pipelines.search.tune import tune

    layer = {"features": {"engine": "keras", "views": 1}, "head": {"dropout": 0.3}}
    recipe = Recipe.from_settings(TINY, layer)
    options: dict[str, Any] = {"trials": 12, "epochs": 2, "space": SPACE}
    tune(folder, recipe, out=out, resume=True, **options)


def start(folder: Path, out: Path) -> Any:
    # Real processes, forked from one that has imported TensorFlow and not used it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "keras_tuner", "pipelines.search.tune", __name__])
    process = context.Process(target=search, args=(str(folder), str(out)))
    process.start()
    return process


def run_undisturbed(folder: Path, out: Path) -> float:
    """Runs a search to its end; returns its seconds."""
    started = time.perf_counter()
    process = start(folder, out)
    process.join()
    assert process.exitcode == 0
    return time.perf_counter() - started


def check_same(run: Run, other: Run) -> None:
    one, two = ({**r.search, "timing": None} for r in (run, other))
    assert one == two
    pairs = zip(run.load_model().get_weights(), other.load_model().get_weights(), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


def test_killed_search_ends_as_an_undisturbed_one(tiny_folder: Path, tmp_path: Path) -> None:
    run_undisturbed(tiny_folder, tmp_path / "first")
    duration_s = run_undisturbed(tiny_folder, tmp_path / "alone")
    alone = Run(tmp_path / "alone")
    check_same(Run(tmp_path / "first"), alone)
    rng, number, done = random.Random(KILLS), 0, 0
    while done < KILLS:
        out = tmp_path / f"killed{number}"
        process = start(tiny_folder, out)
        process.join(rng.uniform(0.05, 1.0) * duration_s)
        if process.is_alive():
            os.kill(process.pid, 9)
            done += 1
        process.join()
        # Any other exit code, such as that of a refusal to resume, is a failure.
        assert process.exitcode in (0, -9)
        if process.exitcode == 0:
            check_same(Run(out), alone)
            number += 1
    out = tmp_path / f"killed{number}"
    run_undisturbed(tiny_folder, out)
    check_same(Run(out), alone)
