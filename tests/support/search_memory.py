"""A search of 300 trials that prints the memory it takes; a program of its own."""

from __future__ import annotations

import gc
import json
import resource
import sys
from pathlib import Path

from pipelines.cli.main import GC_THRESHOLDS
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import prepare_devices
from pipelines.search.plan import SearchPlan
from pipelines.search.trial_trainer import TrialTrainer
from pipelines.sources.opening.dataset import open_source
from tests.support.tiny import TINY
from tuning.hyperparameters.default_space import HEAD_SPACE
from tuning.hyperparameters.oracles import BatchedOracle
from tuning.hyperparameters.search import Journal, Search


def main(data: str, scratch: Path) -> None:
    """Trains trials of the default space by tens; prints the bytes after each, as JSON."""
    gc.set_threshold(*GC_THRESHOLDS)
    recipe = Recipe.from_settings(TINY, {"features": {"engine": "keras"}, "train": {"epochs": 2}})
    space = SearchPlan(space=HEAD_SPACE).build_space(recipe)
    source = open_source(data, recipe.data, seed=0)
    devices = prepare_devices(recipe.device, on_images=False)
    trainer = TrialTrainer(
        recipe,
        list(space.domains),
        source,
        devices,
        folds=0,
        scratch=scratch,
        activations=space.choices("head.activation"),
    )
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


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
