"""What pretraining without labels is worth: few labels, and many images that have none.

The same network learns `digits` by 5 and by 20 labels a class, from random weights and
from what it learned of all training images without their labels:

    rbm          deep_belief_network at 16 px, by stacked Boltzmann machines
    autoencoder  micro_resnet_s at 32 px, by restoring corrupted images

Both ways take as many steps by the same recipe, and their last weights count. Three in
ten images are the test images, drawn by the seed; no pretraining sees them.

    python benchmarks/unlabeled.py --out runs/unlabeled

Runs that are finished are not repeated. Writes OUT/unlabeled.json and OUT/unlabeled.md.
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
        # As benchmarks/transfer.py trains from scratch.
        "optimizer": {
            "name": "nesterov",
            "learning_rate": 0.025,
            "weight_decay": 0.005,
            "ema": 0.9,
        },
    },
}


def pretraining_recipe(method: str, seed: int) -> Recipe:
    """Returns how a network is pretrained: the method's preset, on training images."""
    backbone = NETWORKS[method]["backbone"]
    preset = Recipe.from_preset(METHODS[method].preset, backbone=backbone, settings={"seed": seed})
    return preset.override({f"data.{name}": share for name, share in SPLIT.items()})


def recipe_for(method: str, backbone: str, labels: int, seed: int, *, steps: int) -> Recipe:
    """Returns how a network is trained by labels, from random weights or a file's."""
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
    """Returns the Markdown table: mean test accuracy, and the range over the seeds."""
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


def accuracy_of(out: Path, method: str, labels: int, start: str, seed: int, steps: int) -> float:
    """Returns a network's test accuracy, trained if that has not been done."""
    name = f"{method}-{seed}-{labels}-{start}"
    result = out / f"{name}.json"
    if not result.exists():
        shutil.rmtree(out / name, ignore_errors=True)
        backbone = NETWORKS[method]["backbone"]
        if start == "pretrained":
            before = pretraining_recipe(method, seed)
            backbone = str(pretrain(DATA, before, out=out / f"{method}-{seed}", resume=True))
        recipe = recipe_for(method, backbone, labels, seed, steps=steps)
        run = train(DATA, recipe, out=out / name)
        write_json(result, {"accuracy": run.metrics["test"]["accuracy"]})
        shutil.rmtree(out / name)
    return float(json.loads(result.read_text(encoding="utf-8"))["accuracy"])


def main(
    out: Annotated[Path, typer.Option(help="Where runs and results go.")],
    seeds: Annotated[int, typer.Option(help="How many seeds.")] = 3,
    steps: Annotated[int, typer.Option(help="Optimizer steps of training by labels.")] = 600,
) -> None:
    """Trains what is not there yet, and writes the table."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for method, seed, labels, start in product(NETWORKS, range(seeds), LABELS, STARTS):
        row = {"method": method, "labels": labels, "start": start, "seed": seed}
        accuracy = accuracy_of(out, **row, steps=steps)
        rows.append({**row, "accuracy": accuracy})
        print(f"{method}-{seed}-{labels}-{start}: {accuracy:.4f}", flush=True)
    write_json(out / "unlabeled.json", {"steps": steps, "rows": rows})
    write_text(out / "unlabeled.md", table_of(rows))
    print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
