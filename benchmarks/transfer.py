"""What the shipped backbone is worth: transfer beside training from scratch, by labels.

Five ways to the same answer, on the same images, at 5, 20 and 100 labels a class:

    frozen      features of the shipped backbone, kept, and a head with one hidden layer
    lower       the same on the features of its second stage, pooled both ways; the third
                is left out
    fine-tuned  all weights, from the shipped ones on
    scratch     the same network from random weights, by the pretraining recipe
    pixels      logistic regression on the raw pixels, its penalty chosen by validation

All networks take as many steps (`--steps`) with the augmentation that suits the set, and
their last weights count: what is reported is accuracy on test images that nothing was
chosen by. Fine-tuning is the recipe of training from scratch at a smaller rate. The test
images of textures are its own, those of hymenoptera its folder val/, and those of digits
three in ten, drawn by the seed.

    python benchmarks/transfer.py --out runs/transfer --hymenoptera PHOTOS

Runs that are finished are not repeated. Writes OUT/transfer.json, OUT/transfer.md and
OUT/transfer.png.
"""

from __future__ import annotations

import csv
import json
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.recipe.recipe import Recipe
from pipelines.sources.catalogue import preset_of
from pipelines.sources.dataset import open_source
from pipelines.training.train import train
from zoo.files import replacing, write_json, write_text

LABELS = (5, 20, 100)
METHODS = ("frozen", "lower", "fine-tuned", "scratch", "pixels")
BATCH = 32
THIRD_STAGE = 3
"""How many blocks of a MicroResNet its third stage is."""
FINE_TUNING = 0.2
"""The learning rate of fine-tuning, as a part of that of training from scratch."""


@dataclass(frozen=True)
class Task:
    """One set of the comparison.

    Args:
        name: What the table calls it.
        data: DATA of the command line.
        size: Height and width the network sees, in pixels.
        num_classes: How many labels times classes make an epoch.
    """

    name: str
    data: str
    size: int
    num_classes: int


def write_split(folder: Path, path: Path) -> None:
    """Writes a CSV in which the images of a folder's val/ are test images."""
    rows = [
        (str(image.resolve()), image.parent.name, split)
        for part, split in (("train", "train"), ("val", "test"))
        for image in sorted((folder / part).glob("*/*.jpg"))
    ]
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        writer.writerows(rows)


def recipe_for(
    task: Task, method: str, labels: int, seed: int, *, backbone: str, steps: int, precision: str
) -> Recipe:
    """Returns how one network is trained."""
    epochs = max(1, round(steps * BATCH / (labels * task.num_classes)))
    # The pretraining recipe's, for a batch of 32 instead of 256.
    rate = 0.2 * BATCH / 256
    pretraining = {"name": "nesterov", "weight_decay": 0.005, "ema": 0.9}
    optimizers = {
        "frozen": {"name": "adam", "learning_rate": 0.003},
        "lower": {"name": "adam", "learning_rate": 0.003},
        "fine-tuned": {**pretraining, "learning_rate": rate * FINE_TUNING},
        "scratch": {**pretraining, "learning_rate": rate},
    }
    own_test = task.name == "hymenoptera"
    recipe = Recipe.from_preset(
        preset_of(task.data),
        backbone=backbone.partition(".")[0] if method == "scratch" else backbone,
        settings={
            "seed": seed,
            "data": {
                "train_per_class": labels,
                **(
                    {"val_fraction": 0.17}
                    if own_test
                    else {"val_fraction": 0.1, "test_fraction": 0.3}
                ),
            },
            "input": {"size": task.size, "batch_size": BATCH},
            "head": {"hidden": [256]},
            "optimizer": optimizers[method],
            "schedule": {
                "name": "cosine",
                "warmup": 0.0 if method in ("frozen", "lower") else 0.15,
            },
            "features": {"engine": "keras"},  # a few images: no other is worth being chosen
            "stopping": {"patience": 0, "every": epochs},
            "train": {"epochs": epochs},
            "device": {"precision": precision},
        },
    )
    if method == "lower":
        lower = {"backbone.truncate_blocks": THIRD_STAGE, "head.pooling": "concatenated"}
        return recipe.override(lower)
    return recipe.override({"backbone.frozen": False}) if method == "fine-tuned" else recipe


def pixels_accuracy(task: Task, recipe: Recipe) -> float:
    """Returns the test accuracy of logistic regression on raw pixels."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    source = open_source(task.data, recipe.data, seed=recipe.seed)
    arrays = {}
    for name, examples in source.splits.items():
        batches = build_image_dataset(examples, recipe.input.preprocessing, 256)
        images = np.concatenate(list(batches.as_numpy_iterator()))
        arrays[name] = images.reshape(len(images), -1) / np.float32(255), examples.labels
    fitted = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=300)).fit(*arrays["train"])
        for c in (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    ]
    best = max(fitted, key=lambda model: model.score(*arrays["val"]))
    return float(best.score(*arrays["test"]))


def summarize(rows: list[dict[str, Any]]) -> dict[tuple[str, int, str], list[float]]:
    """Gathers the accuracies of all seeds under (set, labels, method)."""
    cells: dict[tuple[str, int, str], list[float]] = {}
    for row in rows:
        cells.setdefault((row["set"], row["labels"], row["method"]), []).append(row["accuracy"])
    return cells


def table_of(rows: list[dict[str, Any]]) -> str:
    """Returns the Markdown table: mean, and the range over the seeds."""
    cells = summarize(rows)
    lines = [
        "| set | labels a class | " + " | ".join(METHODS) + " |",
        "|---" * (2 + len(METHODS)) + "|",
    ]
    for task, labels in dict.fromkeys((task, labels) for task, labels, _ in cells):
        texts = []
        for method in METHODS:
            values = cells.get((task, labels, method))
            texts.append(
                f"{statistics.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"
                if values
                else ""
            )
        lines.append(f"| {task} | {labels} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws accuracy against labels, a panel for each set."""
    from matplotlib.figure import Figure

    cells = summarize(rows)
    tasks = list(dict.fromkeys(task for task, _, _ in cells))
    figure = Figure(figsize=(3.6 * len(tasks), 3.4), layout="constrained")
    axes = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    for ax, task in zip(axes, tasks, strict=True):
        for method in METHODS:
            points = [(n, v) for n in LABELS if (v := cells.get((task, n, method)))]
            counts = [n for n, _ in points]
            means = np.array([statistics.mean(v) for _, v in points])
            low = means - [min(v) for _, v in points]
            high = [max(v) for _, v in points] - means
            ax.errorbar(counts, means, yerr=[low, high], marker="o", capsize=3, label=method)
        ax.set(title=task, xscale="log", xlabel="labels a class")
        shown = sorted({labels for _, labels, _ in cells})
        ax.set_xticks(shown, [str(n) for n in shown])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("test accuracy, mean and range")
    axes[-1].legend(loc="lower right", fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def main(
    out: Annotated[Path, typer.Option(help="Where runs and results go.")],
    hymenoptera: Annotated[
        Path | None, typer.Option(help="The folder of hymenoptera, with train/ and val/.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds.")] = 3,
    labels: Annotated[
        list[int] | None, typer.Option(help="Labels a class; may be repeated; left out, all.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps of every network.")] = 300,
    backbone: str = "micro_resnet_m.cifar10",
    precision: Annotated[str, typer.Option(help="device.precision of the runs.")] = "auto",
) -> None:
    """Trains what is not there yet, and writes the table and the plot."""
    out.mkdir(parents=True, exist_ok=True)
    tasks = [Task("textures", "textures", 64, 10), Task("digits", "digits", 32, 10)]
    if hymenoptera is not None:
        write_split(hymenoptera, out / "hymenoptera.csv")
        tasks.append(Task("hymenoptera", str(out / "hymenoptera.csv"), 64, 2))
    rows = []
    for task in tasks:
        for count in labels or LABELS:
            for method in METHODS:
                for seed in range(seeds):
                    how = "frozen" if method == "pixels" else method
                    recipe = recipe_for(
                        task,
                        how,
                        count,
                        seed,
                        backbone=backbone,
                        steps=steps,
                        precision=precision,
                    )
                    name = f"{task.name}-{count}-{method}-{seed}"
                    result = out / f"{name}.json"
                    if not result.exists():
                        if method == "pixels":
                            accuracy = pixels_accuracy(task, recipe)
                        else:
                            shutil.rmtree(out / name, ignore_errors=True)
                            run = train(task.data, recipe, out=out / name)
                            accuracy = run.metrics["test"]["accuracy"]
                            shutil.rmtree(out / name)
                        write_json(result, {"accuracy": accuracy})
                    accuracy = json.loads(result.read_text(encoding="utf-8"))["accuracy"]
                    rows.append(
                        {
                            "set": task.name,
                            "labels": count,
                            "method": method,
                            "seed": seed,
                            "accuracy": accuracy,
                        }
                    )
                    print(f"{name}: {accuracy:.4f}", flush=True)
    write_json(out / "transfer.json", {"backbone": backbone, "steps": steps, "rows": rows})
    write_text(out / "transfer.md", table_of(rows))
    draw(rows, out / "transfer.png")
    print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
