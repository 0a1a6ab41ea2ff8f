"""Memory: a search of hundreds of trials needs no more of it than one of a few."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Trains trials of the default space, ten at a time, and says what memory they left behind.
_SEARCH = """
import gc, json, resource, sys
from pathlib import Path
from pipelines.cli.main import COLLECTOR
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import prepare_devices
from pipelines.search.plan import Plan
from pipelines.search.trial_trainer import TrialTrainer
from pipelines.sources.dataset import open_source
from tests.support.tiny import TINY
from tuning.hyperparameters.oracles import BatchedOracle
from tuning.hyperparameters.search import Journal, Search

gc.set_threshold(*COLLECTOR)
folder, scratch = Path(sys.argv[1]), Path(sys.argv[2])
layer = {"features": {"engine": "keras"}, "train": {"epochs": 2}}
recipe = Recipe.from_settings(TINY, layer)
space = Plan().read_space(recipe)
source = open_source(str(folder), recipe.data, seed=0)
devices = prepare_devices(recipe.device)
trainer = TrialTrainer(recipe, list(space.domains), source, devices, folds=0, scratch=scratch)
oracle = BatchedOracle(
    "random", space, objective="val_accuracy", maximize=True, num_trials=300, epochs=2, seed=0
)
search = Search(oracle, Journal(scratch / "journal.json", {}), 300, lambda: 0.0)
sizes = {}
while trials := search.ask(10):
    for results in trainer(trials):
        search.tell(results)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    sizes[len(search.completed)] = pages * resource.getpagesize()
print(json.dumps(sizes))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_after_300_trials_is_that_after_30(
    tiny_folder: Path, tmp_path: Path, root: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SEARCH, str(tiny_folder), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout)
    assert sizes["300"] < 1.1 * sizes["30"], sizes
