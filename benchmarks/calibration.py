"""Benchmark of calibration: what a temperature does to the probabilities of new images.

`zoo train` with its defaults and with `--head classic`, five seeds, which change the images that
are drawn for training:

    hymenoptera    the photographs of train/, tested on those of val/
    signs          40 of each of ten hand signs, tested on 60 others of each
    cifar10        200 of each class, tested on 2,000

    before    the probabilities of the test images at a temperature of 1
    after     those of the run, at the temperature that it chose

    python benchmarks/calibration.py --hymenoptera PHOTOS --signs FOLDER --cifar10 FOLDER \
        --out runs/calibration

CIFAR-10 is a folder with train/ and test/ and the classes in them. Finished runs are not repeated.
Writes OUT/calibration.json, OUT/calibration.md and OUT/calibration.png.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from scipy.special import log_softmax

from benchmarks.default import first, list_classes, write_table
from pipelines.evaluation.calibration import brier_score, expected_calibration_error
from pipelines.evaluation.predictions import compute_predictions
from pipelines.recipe.recipe import Recipe
from pipelines.training.prepare import open_images
from pipelines.training.train import train
from zoo.files import replacing, write_json, write_text

SEEDS, NUM_BINS = 5, 10
HEADS = ("linear", "classic")
SIDES = ("before", "after")
METRICS = ("loss", "ece", "brier")


def draw_images(
    out: Path, seed: int, hymenoptera: Path, signs: Path, cifar10: Path
) -> Iterator[tuple[str, Path]]:
    """Yields the name and the table of each set."""
    hands, things = list_classes(signs, seed), list_classes(cifar10 / "train", seed)
    tests = first(list_classes(cifar10 / "test", 0), 0, 200)
    shown, others = (list_classes(hymenoptera / part, seed) for part in ("train", "val"))
    for name, images, held in (
        ("hymenoptera", shown, others),
        ("signs", first(hands, 0, 40), first(hands, 40, 100)),
        ("CIFAR-10", first(things, 0, 200), tests),
    ):
        yield name, write_table(out / f"{name}-{seed}.csv", images, held)


def measure(data: Path, head: str, seed: int, folder: Path) -> dict[str, Any]:
    """Returns the metrics and the reliability of one run's test images, before and after."""
    file = folder.with_name(f"{folder.name}.json")
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    shutil.rmtree(folder, ignore_errors=True)
    run = train(data, Recipe.for_data(data, head=head).override({"seed": seed}), out=folder)
    tests = open_images(run.recipe).splits["test"]
    after = compute_predictions(run.model, run.recipe, tests, run.tasks)["label"]
    temperature = run.record.get("calibration", {}).get("temperature", 1.0)
    logits = np.log(np.maximum(after.astype(np.float64), 1e-300)) * temperature
    found = {"temperature": temperature}
    for side, rows in zip(SIDES, (np.exp(log_softmax(logits, axis=1)), after), strict=True):
        found[side] = judge(np.asarray(rows, np.float32), tests.labels)
    write_json(file, found)
    shutil.rmtree(folder)
    return found


def judge(rows: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Returns metrics of probabilities [N, C], and images, confidence and hits of each bin."""
    losses = -np.log(np.maximum(rows[np.arange(len(labels)), labels].astype(np.float64), 1e-12))
    confidence, hits = rows.max(axis=1), rows.argmax(axis=1) == labels
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    sums = (
        np.bincount(bins, weights, NUM_BINS).tolist()
        for weights in (np.ones(len(labels)), confidence, hits)
    )
    return {
        "loss": float(losses.mean()),
        "ece": float(expected_calibration_error(labels, rows)),
        "brier": float(brier_score(labels, rows)),
        **dict(zip(("images", "confidence", "hits"), sums, strict=True)),
    }


def table_of(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table: means over the seeds, before and after."""
    lines = [
        "| set | head | temperatures | log loss | calibration error | Brier score |",
        "|---|---|---|---:|---:|---:|",
    ]
    for name, head in dict.fromkeys((row["set"], row["head"]) for row in rows):
        own = [row for row in rows if (row["set"], row["head"]) == (name, head)]
        used = sorted(row["temperature"] for row in own)
        cells = [name, head, f"{used[0]:.3g} to {used[-1]:.3g}"]
        for metric in METRICS:
            values = np.array([[row[side][metric] for side in SIDES] for row in own])
            before, after = values.mean(axis=0)
            change = values[:, 1] - values[:, 0]
            error = change.std(ddof=1) / np.sqrt(len(own)) if len(own) > 1 else 0.0
            cells.append(f"{before:.3f} to {after:.3f} ({change.mean():+.3f} ± {error:.3f})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws the reliability of each set and head, all seeds together."""
    from matplotlib.figure import Figure

    sets = list(dict.fromkeys(row["set"] for row in rows))
    figure = Figure(figsize=(3.4 * len(sets), 6.4), layout="constrained")
    grid = figure.subplots(len(HEADS), len(sets), sharex=True, sharey=True, squeeze=False)
    for (line, head), (column, name) in product(enumerate(HEADS), enumerate(sets)):
        axes = grid[line, column]
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=":")
        own = [row for row in rows if (row["set"], row["head"]) == (name, head)]
        for side, color, marker in (("before", "#d98c21", "s"), ("after", "#1f5fa8", "o")):
            images, confidence, hits = (
                np.sum([row[side][part] for row in own], axis=0)
                for part in ("images", "confidence", "hits")
            )
            full = images >= 10
            error = np.mean([row[side]["ece"] for row in own]) if own else 0.0
            axes.plot(
                confidence[full] / images[full],
                hits[full] / images[full],
                color=color,
                marker=marker,
                markersize=4,
                label=f"{side}: error {error:.3f}",
            )
        axes.set_title(f"{name}, {head} head", fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("confidence")
    figure.supylabel("share of right answers")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def main(
    hymenoptera: Annotated[Path, typer.Option(help="With train/ and val/.")],
    signs: Annotated[Path, typer.Option(help="With a folder for each class.")],
    cifar10: Annotated[Path, typer.Option(help="With train/ and test/.")],
    out: Annotated[Path, typer.Option(help="Folder of runs and results.")],
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = SEEDS,
) -> None:
    """Measures what has no result yet, and writes the table and the plot."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(seeds):
        for name, table in draw_images(out, seed, hymenoptera, signs, cifar10):
            for head in HEADS:
                found = measure(table, head, seed, out / f"{name}-{head}-{seed}")
                rows.append({"set": name, "head": head, "seed": seed, **found})
                print(json.dumps(rows[-1]), flush=True)
                write_json(out / "calibration.json", {"rows": rows})
                write_text(out / "calibration.md", table_of(rows))
                draw(rows, out / "calibration.png")
    print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
