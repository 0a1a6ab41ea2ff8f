"""Benchmark of pretraining without labels: few labeled images beside many unlabeled ones.

A network learns `digits` from 5 and from 20 labels a class, once from random weights and
once from weights pretrained on all training images without their labels:

    rbm          deep_belief_network at 16 px, stacked restricted Boltzmann machines
    autoencoder  micro_resnet_s at 32 px, restoring corrupted images

Both starts use the same recipe and number of steps, and the last weights count. The test
images are 30 % of the data, drawn by the seed; pretraining never sees them.

    python benchmarks/unlabeled.py --out runs/unlabeled

Finished runs are not repeated. Writes OUT/unlabeled.json and OUT/unlabeled.md.
"""

from __future__ import annotations

import json
import shutil
import statistics
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.pretraining.pretrain import pretrain
from pipelines.recipe.pretraining import METHODS
from pipelines.recipe.recipe import Recipe
from pipelines.training.train import train
from zoo.files import write_json, write_text

DATA = "digits"
LABELS = (5, 20)
STARTS = ("random", "pretrained")
SPLIT = {"val_fraction": 0.1, "test_fraction": 0.3}
BATCH = 32
NETWORKS: dict[str, dict[str, Any]] = {
    "rbm": {
        "backbone": "deep_belief_network",
        "input": {"size": 16},
        "optimizer": {"name": "adam", "learning_rate": 0.001},
    },
    "autoencoder": {
        "backbone": "micro_resnet_s",
        "input": {"size": 32},
        # The optimizer of benchmarks/transfer.py for training from scratch.
        "optimizer": {
            "name": "nesterov",
            "learning_rate": 0.025,
            "weight_decay": 0.005,
            "ema": 0.9,
        },
    },
}


def pretraining_recipe(method: str, seed: int) -> Recipe:
    """Returns the recipe of pretraining: the method's preset, on the training images."""
    backbone = NETWORKS[method]["backbone"]
    preset = Recipe.from_preset(METHODS[method].preset, backbone=backbone, settings={"seed": seed})
    return preset.override({f"data.{name}": share for name, share in SPLIT.items()})


def recipe_for(method: str, backbone: str, labels: int, seed: int, *, steps: int) -> Recipe:
    """Returns the recipe of training with labels, from random or pretrained weights."""
    epochs = max(1, round(steps * BATCH / (labels * 10)))
    network = NETWORKS[method]
    recipe = Recipe.from_preset(
        DATA,
        backbone=backbone,
        settings={
            "seed": seed,
            "data": {"train_per_class": labels, **SPLIT},
            "input": {**network["input"], "batch_size": BATCH},
            "head": {"hidden": []},
            "optimizer": network["optimizer"],
            "schedule": {"name": "cosine", "warmup": 0.15},
            "stopping": {"patience": 0, "every": epochs},
            "train": {"epochs": epochs},
        },
    )
    return recipe.override({"backbone.frozen": False})


def table_of(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table of mean test accuracies, with the range over the seeds."""
    lines = [
        "| | labels a class | random weights | pretrained without labels |",
        "|---|---:|---|---|",
    ]
    for method in NETWORKS:
        for labels in LABELS:
            texts = []
            for start in STARTS:
                cell = (method, labels, start)
                values = [
                    row["accuracy"]
                    for row in rows
                    if (row["method"], row["labels"], row["start"]) == cell
                ]
                low, high = min(values), max(values)
                texts.append(f"{statistics.mean(values):.3f} ({low:.3f}–{high:.3f})")
            name = NETWORKS[method]["backbone"]
            lines.append(f"| {name}, {method} | {labels} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def load_or_train(out: Path, method: str, labels: int, start: str, seed: int, steps: int) -> float:
    """Returns a network's test accuracy from an earlier run, or trains it."""
    name = f"{method}-{seed}-{labels}-{start}"
    result = out / f"{name}.json"
    if not result.exists():
        shutil.rmtree(out / name, ignore_errors=True)
        backbone = NETWORKS[method]["backbone"]
        if start == "pretrained":
            before = pretraining_recipe(method, seed)
            pretrained = pretrain(DATA, before, out=out / f"{method}-{seed}", resume=True)
            backbone = str(pretrained.pretrained_file)
        recipe = recipe_for(method, backbone, labels, seed, steps=steps)
        run = train(DATA, recipe, out=out / name)
        write_json(result, {"accuracy": run.metrics["test"]["accuracy"]})
        shutil.rmtree(out / name)
    return float(json.loads(result.read_text(encoding="utf-8"))["accuracy"])


def main(
    out: Annotated[Path, typer.Option(help="Folder of runs and results.")],
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 3,
    steps: Annotated[int, typer.Option(help="Optimizer steps of training with labels.")] = 600,
) -> None:
    """Trains the networks without results, and writes the table."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for method, seed, labels, start in product(NETWORKS, range(seeds), LABELS, STARTS):
        row = {"method": method, "labels": labels, "start": start, "seed": seed}
        accuracy = load_or_train(out, **row, steps=steps)
        rows.append({**row, "accuracy": accuracy})
        print(f"{method}-{seed}-{labels}-{start}: {accuracy:.4f}", flush=True)
    write_json(out / "unlabeled.json", {"steps": steps, "rows": rows})
    write_text(out / "unlabeled.md", table_of(rows))
    print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
