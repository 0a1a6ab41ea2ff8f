"""Benchmark of distillation: a small network beside the same one with a teacher.

MicroResNet-S learns CIFAR-10 from random weights, with 500 labels a class, once from these alone
and once from a teacher, too; 45,000 images have no label:

    teacher    MicroResNet-L with its shipped weights, and a head for the labeled images; it was
               trained on all labels of CIFAR-10, or with --strict on the 500 a class alone
    alone      MicroResNet-S, the labeled images
    labeled    MicroResNet-S with the teacher, the same images
    taught     MicroResNet-S with the teacher, and the images without labels

    python benchmarks/distillation.py --cifar10 FOLDER --out runs/distillation

The students have one recipe and take as many steps; three seeds, which change the images that have
labels. CIFAR-10 is a folder with train/ and test/ and the classes in them. Finished runs are not
repeated. Writes OUT/distillation.json and OUT/distillation.md.
"""

from __future__ import annotations

import csv
import json
import shutil
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.default import first, list_classes, write_table
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.training.train import train
from zoo.files import replacing, write_json, write_text

LABELS = 500
"""Images of each class that have a label."""

BATCH = 256
ARMS = ("teacher", "alone", "labeled", "taught")


def write_unlabeled(path: Path, classes: Mapping[str, list[Path]]) -> Path:
    """Writes a table of images without labels."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path",))
        writer.writerows((str(image.resolve()),) for files in classes.values() for image in files)
    return path


def recipe_of(
    arm: str, data: Path, seed: int, steps: int, num_images: int, *, strict: bool
) -> Recipe:
    """Returns the recipe of one arm, from random weights by the preset for them.

    Args:
        arm: One of ARMS.
        data: The table of images with labels.
        seed: Seed of the weights and of the order.
        steps: Steps of the optimizer, about.
        num_images: How many images it trains on.
        strict: Whether the teacher starts from random weights.
    """
    if arm == "teacher" and not strict:
        recipe = Recipe.for_data(data, preset="photo", backbone="micro_resnet_l.cifar10")
        return recipe.override({"seed": seed, "data.val_fraction": 0.1})
    size = "l" if arm == "teacher" else "s"
    recipe = Recipe.for_data(data, preset="pretrain", backbone=f"micro_resnet_{size}")
    return recipe.override(
        {
            "seed": seed,
            "backbone.frozen": False,
            "input.size": 32,
            "input.batch_size": BATCH,
            "data.val_fraction": 0.1,
            "train.epochs": max(1, round(steps * BATCH / num_images)),
            "stopping.every": 5,
        }
    )


def measure(cifar10: Path, out: Path, seed: int, steps: int, *, strict: bool) -> dict[str, float]:
    """Returns the test accuracy of every arm."""
    file = out / f"{seed}.json"
    if file.exists():
        found: dict[str, float] = json.loads(file.read_text(encoding="utf-8"))
        return found
    classes = list_classes(cifar10 / "train", seed)
    count = sum(map(len, classes.values()))
    labeled, rest = first(classes, 0, LABELS), first(classes, LABELS, count)
    data = write_table(out / f"{seed}.csv", labeled, list_classes(cifar10 / "test", 0))
    pool = write_unlabeled(out / f"{seed}-unlabeled.csv", rest)
    folder = out / str(seed)
    few = round(0.9 * LABELS * len(classes))  # the rest validates
    runs: dict[str, Run] = {}
    for arm in ARMS:
        num_images = count - LABELS * len(classes) + few if arm == "taught" else few
        options: dict[str, Any] = {}
        if arm in ("labeled", "taught"):
            options["teacher"] = runs["teacher"]
        if arm == "taught":
            options["unlabeled"] = pool
        recipe = recipe_of(arm, data, seed, steps, num_images, strict=strict)
        out_of_arm = folder / arm
        runs[arm] = train(None, recipe, out=out_of_arm, resume=out_of_arm.exists(), **options)
    found = {arm: run.metrics["test"]["accuracy"] for arm, run in runs.items()}
    write_json(file, found)
    shutil.rmtree(folder)
    return found


def table_of(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table: mean and range of every arm, and the gain over `alone`."""
    lines = ["| | test accuracy | above the same alone |", "|---|---:|---:|"]
    for arm in ARMS:
        values = [row[arm] for row in rows]
        text = f"{statistics.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"
        gains = [100 * (row[arm] - row["alone"]) for row in rows]
        gain = f"{statistics.mean(gains):+.1f} ({min(gains):+.1f} to {max(gains):+.1f}) points"
        lines.append(f"| {arm} | {text} | {gain if arm in ('labeled', 'taught') else ''} |")
    return "\n".join(lines) + "\n"


def main(
    cifar10: Annotated[Path, typer.Option(help="Folder with train/ and test/ of class folders.")],
    out: Annotated[Path, typer.Option(help="Folder of runs and results.")],
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 3,
    steps: Annotated[int, typer.Option(help="Optimizer steps of each run, about.")] = 2000,
    strict: Annotated[
        bool, typer.Option(help="Whether the teacher learns from the labeled images alone.")
    ] = False,
) -> None:
    """Trains the networks without results, and writes the table."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(seeds):
        rows.append({"seed": seed, **measure(cifar10, out, seed, steps, strict=strict)})
        print(json.dumps(rows[-1]), flush=True)
    write_json(out / "distillation.json", {"steps": steps, "strict": strict, "rows": rows})
    write_text(out / "distillation.md", table_of(rows))
    print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
