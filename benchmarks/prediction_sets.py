"""Benchmark of prediction sets: coverage and size over 20 divisions of images held out.

One run of `zoo train` with its defaults for each set of images, of which 60 % are held out from
training: ants and bees, ten hand signs, and 2,000 images of CIFAR-10. The held-out images are
divided twenty times at random, half to fit the threshold and half to count by it.

    python benchmarks/prediction_sets.py --hymenoptera PHOTOS --signs FOLDER \
        --cifar10 FOLDER --out runs/prediction_sets

CIFAR-10 is a folder with train/ and the classes in it. Writes OUT/prediction_sets.json and
OUT/prediction_sets.md; finished runs are not repeated.
"""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from benchmarks.default import first, list_classes
from pipelines.evaluation.predictions import compute_predictions
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.training.prepare import open_images
from pipelines.training.train import train
from tuning.decision import fit_prediction_sets
from zoo.files import write_json, write_text
from zoo.models.decision import SET_METHODS

ERROR_RATES = (0.01, 0.05, 0.1)
DIVISIONS = 20
HELD_OUT = {"data.val_fraction": 0.3, "data.test_fraction": 0.3}


def predict_held_out(
    data: Path, out: Path
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Returns probabilities [N, C] and classes [N] of the images that were not trained on."""
    recipe = Recipe.for_data(data).override(HELD_OUT)
    run = Run.open(out) if (out / "metrics.json").exists() else train(data, recipe, out=out)
    splits = open_images(run.recipe).splits
    parts = [
        (compute_predictions(run.model, run.recipe, part, run.tasks)["label"], part.labels)
        for part in (splits["val"], splits["test"])
    ]
    rows, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, labels


def measure(
    rows: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], method: str, error_rate: float
) -> dict[str, Any]:
    """Returns coverage and size over the divisions: means, and its deviation."""
    half = len(labels) // 2
    found = []
    for seed in range(DIVISIONS):
        order = np.random.default_rng(seed).permutation(len(labels))
        fitted, counted = order[:half], order[half:]
        rule = fit_prediction_sets(rows[fitted], labels[fitted], method, error_rate)
        members, truths = rule.members(rows[counted]), labels[counted]
        covered, sizes = members[np.arange(len(truths)), truths], members.sum(axis=1)
        worst = min(covered[truths == label].mean() for label in np.unique(truths))
        found.append((covered.mean(), sizes.mean(), (sizes == 0).mean(), worst))
    coverage, size, empty, worst = np.mean(found, axis=0).tolist()
    return {
        "num_fitted": half,
        "num_counted": len(labels) - half,
        "coverage": coverage,
        "deviation": float(np.std([row[0] for row in found], ddof=1)),
        "size": size,
        "empty": empty,
        "worst_class": worst,
    }


def main(
    hymenoptera: Annotated[Path, typer.Option(help="With train/ and val/.")],
    signs: Annotated[Path, typer.Option(help="With a folder for each class.")],
    cifar10: Annotated[Path, typer.Option(help="With train/.")],
    out: Annotated[Path, typer.Option(help="Folder of runs and results.")],
) -> None:
    """Measures every set, method and error rate, and writes the table."""
    out.mkdir(parents=True, exist_ok=True)
    parts = [list_classes(hymenoptera / part, 0) for part in ("train", "val")]
    photos = {label: [*parts[0][label], *parts[1][label]] for label in parts[0]}
    sets = {
        "ants and bees": photos,
        "signs": list_classes(signs, 0),
        "CIFAR-10": first(list_classes(cifar10 / "train", 0), 0, 200),
    }
    results: list[dict[str, Any]] = []
    for name, images in sets.items():
        table = out / f"{name.replace(' ', '_')}.csv"
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "label"))
            writer.writerows((path.resolve(), label) for label in images for path in images[label])
        rows, labels = predict_held_out(table, out / table.stem)
        accuracy = float((rows.argmax(axis=1) == labels).mean())
        for method, rate in product(SET_METHODS, ERROR_RATES):
            results.append(
                {"set": name, "accuracy": accuracy, "method": method, "error_rate": rate}
                | measure(rows, labels, method, rate)
            )
    write_json(out / "prediction_sets.json", {"divisions": DIVISIONS, "rows": results})
    lines = [
        "| trained on | error rate | method | coverage | classes in a set | none | worst class |"
    ]
    lines.append("|---|---:|---|---:|---:|---:|---:|")
    for row in sorted(results, key=lambda row: (row["set"], row["error_rate"])):
        texts = [row["set"], f"{row['error_rate']:.2f}", row["method"]]
        texts.append(f"{row['coverage']:.3f} ± {row['deviation']:.3f}")
        texts += [f"{row['size']:.2f}", f"{row['empty']:.3f}", f"{row['worst_class']:.3f}"]
        lines.append(f"| {' | '.join(texts)} |")
    write_text(out / "prediction_sets.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
