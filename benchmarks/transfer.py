"""Benchmark of transfer learning from a shipped backbone beside training from scratch.

Five methods on the same images, at 5, 20 and 100 labels a class:

    frozen      a head with one hidden layer on stored features of the shipped backbone
    lower       the same on the features of its second stage, average and max pooled,
                without the third stage
    fine-tuned  all weights, starting from the shipped ones
    scratch     the same network from random weights, by the pretraining recipe
    pixels      logistic regression on raw pixels, its penalty chosen by validation

All networks train for the same number of steps (`--steps`) with each data set's own
augmentation policy, and the last weights count. The result is test accuracy; no choice
depends on the test images. Fine-tuning uses the recipe of training from scratch at a
smaller learning rate. Textures has its own test images, hymenoptera uses its val/ folder,
and digits 30 % of its images, drawn by the seed.

    python benchmarks/transfer.py --out runs/transfer --hymenoptera PHOTOS

Finished runs are not repeated. Writes OUT/transfer.json, OUT/transfer.md and
OUT/transfer.png.
"""

from __future__ import annotations

import csv
import json
import shutil
import statistics
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.recipe.recipe import Recipe
from pipelines.sources.listing.catalog import preset_of
from pipelines.sources.opening.dataset import open_source
from pipelines.training.train import train
from zoo.files import replacing, write_json, write_text

LABELS = (5, 20, 100)
METHODS = ("frozen", "lower", "fine-tuned", "scratch", "pixels")
BATCH = 32
THIRD_STAGE_BLOCKS = 3
"""Blocks of a MicroResNet in its third stage."""
FINE_TUNING_FACTOR = 0.2
"""Learning rate of fine-tuning, as a fraction of that of training from scratch."""


@dataclass(frozen=True)
class DataSet:
    """One data set of the comparison.

    Args:
        name: The name in the table.
        data: DATA as on the command line.
        size: Input height and width, in pixels.
        num_classes: Number of classes; times the labels a class, the images of an epoch.
    """

    name: str
    data: str
    size: int
    num_classes: int


def write_split(folder: Path, path: Path) -> None:
    """Writes a CSV that makes the images of a folder's val/ the test split."""
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
    dataset: DataSet,
    method: str,
    labels: int,
    seed: int,
    *,
    backbone: str,
    steps: int,
    precision: str,
) -> Recipe:
    """Returns the recipe of one network."""
    epochs = max(1, round(steps * BATCH / (labels * dataset.num_classes)))
    # The learning rate of pretraining, scaled from a batch of 256 to one of 32.
    rate = 0.2 * BATCH / 256
    pretraining = {"name": "nesterov", "weight_decay": 0.005, "ema": 0.9}
    optimizers = {
        "frozen": {"name": "adam", "learning_rate": 0.003},
        "lower": {"name": "adam", "learning_rate": 0.003},
        "fine-tuned": {**pretraining, "learning_rate": rate * FINE_TUNING_FACTOR},
        "scratch": {**pretraining, "learning_rate": rate},
    }
    own_test = dataset.name == "hymenoptera"
    recipe = Recipe.from_preset(
        preset_of(dataset.data),
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
            "input": {"size": dataset.size, "batch_size": BATCH},
            "head": {"hidden": [256]},
            "optimizer": optimizers[method],
            "schedule": {
                "name": "cosine",
                "warmup": 0.0 if method in ("frozen", "lower") else 0.15,
            },
            "features": {"engine": "keras"},  # too few for a faster engine to pay
            "stopping": {"patience": 0, "every": epochs},
            "train": {"epochs": epochs},
            "device": {"precision": precision},
        },
    )
    if method == "lower":
        lower = {"backbone.truncate_blocks": THIRD_STAGE_BLOCKS, "head.pooling": "concatenated"}
        return recipe.override(lower)
    return recipe.override({"backbone.frozen": False}) if method == "fine-tuned" else recipe


def pixels_accuracy(dataset: DataSet, recipe: Recipe) -> float:
    """Returns the test accuracy of logistic regression on raw pixels."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    source = open_source(dataset.data, recipe.data, seed=recipe.seed)
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


def load_or_train(dataset: DataSet, method: str, recipe: Recipe, folder: Path) -> float:
    """Returns the test accuracy of one method from an earlier run, or trains it."""
    result = folder.with_name(f"{folder.name}.json")
    if not result.exists():
        if method == "pixels":
            accuracy = pixels_accuracy(dataset, recipe)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            accuracy = train(dataset.data, recipe, out=folder).metrics["test"]["accuracy"]
            shutil.rmtree(folder)
        write_json(result, {"accuracy": accuracy})
    return float(json.loads(result.read_text(encoding="utf-8"))["accuracy"])


def summarize(rows: list[dict[str, Any]]) -> dict[tuple[str, int, str], list[float]]:
    """Groups the accuracies of all seeds by (data set, labels, method)."""
    cells: dict[tuple[str, int, str], list[float]] = {}
    for row in rows:
        cells.setdefault((row["set"], row["labels"], row["method"]), []).append(row["accuracy"])
    return cells


def table_of(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table of means, with the range over the seeds."""
    cells = summarize(rows)
    lines = [
        "| set | labels a class | " + " | ".join(METHODS) + " |",
        "|---" * (2 + len(METHODS)) + "|",
    ]
    for name, labels in dict.fromkeys((name, labels) for name, labels, _ in cells):
        texts = []
        for method in METHODS:
            values = cells.get((name, labels, method))
            texts.append(
                f"{statistics.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"
                if values
                else ""
            )
        lines.append(f"| {name} | {labels} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws accuracy against labels, a panel for each data set."""
    from matplotlib.figure import Figure

    cells = summarize(rows)
    names = list(dict.fromkeys(name for name, _, _ in cells))
    figure = Figure(figsize=(3.6 * len(names), 3.4), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for ax, name in zip(axes, names, strict=True):
        for method in METHODS:
            points = [(n, v) for n in LABELS if (v := cells.get((name, n, method)))]
            counts = [n for n, _ in points]
            means = np.array([statistics.mean(v) for _, v in points])
            low = means - [min(v) for _, v in points]
            high = [max(v) for _, v in points] - means
            ax.errorbar(counts, means, yerr=[low, high], marker="o", capsize=3, label=method)
        ax.set(title=name, xscale="log", xlabel="labels a class")
        shown = sorted({labels for _, labels, _ in cells})
        ax.set_xticks(shown, [str(n) for n in shown])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("test accuracy, mean and range")
    axes[-1].legend(loc="lower right", fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def main(
    out: Annotated[Path, typer.Option(help="Folder of runs and results.")],
    hymenoptera: Annotated[
        Path | None, typer.Option(help="Folder of hymenoptera, with train/ and val/.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 3,
    labels: Annotated[
        list[int] | None, typer.Option(help="Labels a class; repeat for several; all by default.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps of every network.")] = 300,
    backbone: str = "micro_resnet_m.cifar10",
    precision: Annotated[str, typer.Option(help="device.precision of the runs.")] = "auto",
) -> None:
    """Trains the networks without results, and writes the table and the plot."""
    out.mkdir(parents=True, exist_ok=True)
    datasets = [DataSet("textures", "textures", 64, 10), DataSet("digits", "digits", 32, 10)]
    if hymenoptera is not None:
        write_split(hymenoptera, out / "hymenoptera.csv")
        datasets.append(DataSet("hymenoptera", str(out / "hymenoptera.csv"), 64, 2))
    rows = []
    combinations = product(datasets, labels or LABELS, METHODS, range(seeds))
    for dataset, count, method, seed in combinations:
        # Logistic regression only takes the data and the seed from the recipe.
        recipe_method = "frozen" if method == "pixels" else method
        recipe = recipe_for(
            dataset,
            recipe_method,
            count,
            seed,
            backbone=backbone,
            steps=steps,
            precision=precision,
        )
        name = f"{dataset.name}-{count}-{method}-{seed}"
        accuracy = load_or_train(dataset, method, recipe, out / name)
        row = {"set": dataset.name, "labels": count, "method": method, "seed": seed}
        rows.append({**row, "accuracy": accuracy})
        print(f"{name}: {accuracy:.4f}", flush=True)
    write_json(out / "transfer.json", {"backbone": backbone, "steps": steps, "rows": rows})
    write_text(out / "transfer.md", table_of(rows))
    draw(rows, out / "transfer.png")
    print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
