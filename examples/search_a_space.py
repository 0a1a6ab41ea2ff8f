"""Search a space of your own, look at the trials, and keep the best as a run.

    python examples/search_a_space.py [FOLDER]

The backbone sees each image once; the trials train side by side on its features.
"""

from __future__ import annotations

import sys
from pathlib import Path

import transfer_zoo as tz

SPACE = {
    "head.hidden": [[], [64]],
    "head.dropout": {"min": 0.0, "max": 0.6, "when": {"head.hidden": [[64]]}},
    "optimizer.name": ["adam", "nesterov"],
    "optimizer.learning_rate": [
        {"min": 1e-4, "max": 1e-2, "log": True, "when": {"optimizer.name": ["adam"]}},
        {"min": 1e-3, "max": 3e-1, "log": True, "when": {"optimizer.name": ["nesterov"]}},
    ],
}


def main(folder: Path) -> None:
    """Searches, and prints the best trials."""
    recipe = tz.Recipe.for_data("digits", backbone="micro_resnet_s.cifar10").override(
        {"data.train_per_class": 40, "features.views": 1}
    )
    run = tz.tune("digits", recipe, trials=12, epochs=5, space=SPACE, out=folder / "best")

    finished = [trial for trial in run.search["trials"] if trial["score"] is not None]
    for trial in sorted(finished, key=lambda trial: -trial["score"])[:3]:
        print(f"trial {trial['id']}: {trial['score']:.3f}, {trial['hyperparameters']}")
    print(f"best run: validation accuracy {run.metrics['val']['accuracy']:.3f}, {run.path}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example_search"))
