"""Benchmark of corrected scores: the best of 100 trials, and what it scores on other images.

`zoo tune` with its default space on plain features of SqueezeNet 1.1, in twenty random divisions
of each set, scored on five folds and on one validation split:

    hymenoptera    100 ants and 100 bees, tested on the other 198
    signs          30 of each of ten hand signs, tested on the other 700
    cifar10        200 of each class, tested on 2,000

    raw         the score by which the search chose its winner
    corrected   the `corrected` score of search.json, and its 95 % interval
    true        the accuracy of the run that the search ends with, on the images for testing

    ZOO_WEIGHTS=FOLDER python benchmarks/selection_bias.py --hymenoptera PHOTOS --signs FOLDER \
        --cifar10 FOLDER --out runs/selection_bias

CIFAR-10 is a folder with train/ and test/ and the classes in them. Finished searches are not
repeated. Writes OUT/selection_bias.json, OUT/selection_bias.md and OUT/selection_bias.png.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.default import first, list_classes, write_table
from pipelines.recipe.recipe import Recipe
from pipelines.search.tune import tune
from zoo.files import replacing, write_json, write_text

DIVISIONS, TRIALS, EPOCHS = 20, 100, 10
FOLDS = (0, 5)


def divide(
    out: Path, seed: int, hymenoptera: Path, signs: Path, cifar10: Path
) -> Iterator[tuple[str, Path]]:
    """Yields the name and the table of each set in one division."""
    parts = [list_classes(hymenoptera / part, 0) for part in ("train", "val")]
    insects = {label: [*parts[0][label], *parts[1][label]] for label in parts[0]}
    rng = np.random.default_rng(seed)
    insects = {
        name: [files[i] for i in rng.permutation(len(files))] for name, files in insects.items()
    }
    hands, things = list_classes(signs, seed), list_classes(cifar10 / "train", seed)
    tests = first(list_classes(cifar10 / "test", 0), 0, 200)
    for name, images, held in (
        ("hymenoptera", first(insects, 0, 100), first(insects, 100, 10**6)),
        ("signs", first(hands, 0, 30), first(hands, 30, 10**6)),
        ("CIFAR-10", first(things, 0, 200), tests),
    ):
        yield name, write_table(out / f"{name}-{seed}.csv", images, held)


def measure(table: Path, folds: int, out: Path) -> dict[str, Any]:
    """Searches one division; returns raw, corrected and true score, read where it is finished."""
    file = out / f"{table.stem}-{folds}.json"
    if file.exists():
        return dict(json.loads(file.read_text(encoding="utf-8")))
    recipe = Recipe.for_data(table, backbone="squeezenet1_1.imagenet")
    recipe = recipe.override({"augment.policy": "none"})
    run_folder = out / "run"
    shutil.rmtree(run_folder, ignore_errors=True)
    run = tune(table, recipe, out=run_folder, trials=TRIALS, epochs=EPOCHS, folds=folds)
    search, test = run.search, run.metrics["test"]
    found = {
        "raw": search["best"]["score"],
        "corrected": search["corrected"]["score"],
        "interval": search["corrected"]["interval"],
        "images": search["corrected"]["images"],
        "true": float(test["accuracy"]),
        "tested": test["num_images"],
    }
    write_json(file, found)
    shutil.rmtree(run_folder)
    return found


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns mean scores, and how many intervals hold the true score."""
    raw, corrected, true = (
        np.array([row[name] for row in rows]) for name in ("raw", "corrected", "true")
    )
    low, high = np.array([row["interval"] for row in rows]).T
    return {
        "divisions": len(rows),
        "images": rows[0]["images"],
        "raw": raw.mean(),
        "corrected": corrected.mean(),
        "true": true.mean(),
        "raw_error": (raw - true).mean(),
        "corrected_error": (corrected - true).mean(),
        "error_of_mean": (corrected - true).std(ddof=1) / np.sqrt(len(rows)),
        "covered": int(((low <= true) & (true <= high)).sum()),
        "width": (high - low).mean(),
    }


def draw(path: Path, found: dict[tuple[str, int], list[dict[str, Any]]]) -> None:
    """Draws raw and corrected scores against true ones."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for name, _ in found))
    figure = Figure(figsize=(4 * len(names), 7.2), layout="constrained")
    panels = figure.subplots(len(FOLDS), len(names), squeeze=False)
    for (row, folds), (column, name) in product(enumerate(FOLDS), enumerate(names)):
        axes, points = panels[row][column], found[name, folds]
        true = np.array([point["true"] for point in points])
        low, high = np.array([point["interval"] for point in points]).T
        corrected = np.array([point["corrected"] for point in points])
        axes.errorbar(
            true,
            corrected,
            yerr=[corrected - low, high - corrected],
            fmt="o",
            color="#0072b2",
            ecolor="#9ecae1",
            label="corrected, 95 % interval",
        )
        raw = [point["raw"] for point in points]
        axes.plot(true, raw, "^", color="#d55e00", label="raw score of the best of 100")
        ends = [min(true.min(), low.min()) - 0.01, max(true.max(), max(raw), high.max()) + 0.01]
        axes.plot(ends, ends, color="0.5", linewidth=1, zorder=0)
        axes.set_title(f"{name}, {f'{folds} folds' if folds else 'one validation split'}")
        axes.set_xlabel("accuracy on other images")
        axes.set_ylabel("accuracy that the search states")
    panels[0][0].legend(loc="upper left", fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def main(
    hymenoptera: Annotated[Path, typer.Option(help="With train/ and val/.")],
    signs: Annotated[Path, typer.Option(help="With a folder for each class.")],
    cifar10: Annotated[Path, typer.Option(help="With train/ and test/.")],
    out: Annotated[Path, typer.Option(help="Folder of tables and results.")],
) -> None:
    """Measures every set in every division, on folds and on one split, and writes the table."""
    out.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for seed, folds in product(range(DIVISIONS), FOLDS):
        for name, table in divide(out, seed, hymenoptera, signs, cifar10):
            found.setdefault((name, folds), []).append(measure(table, folds, out))
    found = {key: found[key] for key in sorted(found, key=lambda key: (key[1], key[0]))}
    lines = [
        "| set | scored on | images | raw | corrected | true | raw − true | corrected − true "
        "| intervals that hold the true one | their width |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    results = []
    for (name, folds), rows in found.items():
        row = summarize(rows)
        results.append({"set": name, "folds": folds, **row})
        texts = [name, f"{folds} folds" if folds else "one split", str(row["images"])]
        texts += [f"{row[part]:.3f}" for part in ("raw", "corrected", "true")]
        texts.append(f"{100 * row['raw_error']:+.1f}")
        texts.append(f"{100 * row['corrected_error']:+.1f} ± {100 * row['error_of_mean']:.1f}")
        texts += [f"{row['covered']} of {row['divisions']}", f"{row['width']:.3f}"]
        lines.append(f"| {' | '.join(texts)} |")
    write_json(out / "selection_bias.json", results)
    write_text(out / "selection_bias.md", "\n".join(lines) + "\n")
    draw(out / "selection_bias.png", found)
    print("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
