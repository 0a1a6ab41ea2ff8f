"""Benchmark of class-imbalance methods: recall of rare and of common classes.

`textures` with 160 training images in each of seven classes and 10 in each of the other
three (waves, weave, zigzag); validation and test are balanced. The preset's head learns on
the frozen features of a pretrained backbone, five ways:

    plain          cross-entropy
    weights        train.class_weights = "balanced"
    focal          train.loss = "focal"
    focal+weights  both
    oversample     train.oversample = "balanced", for as many steps as the others

    python benchmarks/imbalance.py --out runs/imbalance

Finished runs are not repeated. Writes OUT/imbalance.json and OUT/imbalance.md.
"""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.recipe.recipe import Recipe
from pipelines.training.train import train
from zoo.files import write_json, write_text

RARE = ("waves", "weave", "zigzag")
# The images from number 100 on of the three classes whose numbers end in 7, 8 and 9.
EXCLUDED = ("textures/train/0[1-9]??[789]", "textures/train/00[1-9]?[789]")
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weights": {"class_weights": "balanced"},
    "focal": {"loss": "focal"},
    "focal+weights": {"loss": "focal", "class_weights": "balanced"},
    "oversample": {"oversample": "balanced"},
}
COMMON, BATCH = 160, 64


def recipe_for(way: str, epochs: int, seed: int, backbone: str) -> Recipe:
    """Returns the recipe of one network."""
    images = 7 * COMMON + 3 * 10
    # An epoch of oversampling shows COMMON images of every class, so it is longer.
    epoch_ratio = images / (10 * COMMON) if way == "oversample" else 1.0
    return Recipe.from_preset(
        "textures",
        backbone=backbone,
        settings={
            "seed": seed,
            "data": {"exclude": EXCLUDED},
            "input": {"size": 64, "batch_size": BATCH},
            "optimizer": {"name": "adam", "learning_rate": 0.003},
            "schedule": {"name": "cosine", "warmup": 0.0},
            "stopping": {"patience": 0},
            "train": {"epochs": max(1, round(epochs * epoch_ratio)), **WAYS[way]},
        },
    )


def compute_figures(metrics: dict[str, Any]) -> dict[str, float]:
    """Returns the mean recall of the rare classes, that of the common ones, and macro-F1."""
    recalls = {name: each["recall"] for name, each in metrics["test"]["per_class"].items()}
    return {
        "rare": statistics.mean(recalls[name] for name in RARE),
        "common": statistics.mean(value for name, value in recalls.items() if name not in RARE),
        "macro_f1": metrics["test"]["macro_f1"],
    }


def table_of(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table of means, with the range over the seeds."""
    lines = ["| | recall, rare | recall, common | macro-F1 |", "|---" * 4 + "|"]
    for way in WAYS:
        texts = []
        for figure in ("rare", "common", "macro_f1"):
            values = [row[figure] for row in rows if row["way"] == way]
            texts.append(f"{statistics.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})")
        lines.append(f"| {way} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def main(
    out: Annotated[Path, typer.Option(help="Folder of runs and results.")],
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 5,
    epochs: Annotated[int, typer.Option(help="Epochs of every network.")] = 16,
    backbone: str = "micro_resnet_s.cifar10",
) -> None:
    """Trains the networks without results, and writes the table."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(seeds):
        for way in WAYS:
            name = f"{way}-{seed}"
            result = out / f"{name}.json"
            if not result.exists():
                shutil.rmtree(out / name, ignore_errors=True)
                run = train("textures", recipe_for(way, epochs, seed, backbone), out=out / name)
                write_json(result, compute_figures(run.metrics))
                shutil.rmtree(out / name)
            rows.append({"way": way, "seed": seed, **json.loads(result.read_text("utf-8"))})
            print(rows[-1], flush=True)
    write_json(out / "imbalance.json", {"backbone": backbone, "epochs": epochs, "rows": rows})
    write_text(out / "imbalance.md", table_of(rows))
    print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
