"""Benchmark of stored features of K augmented views beside fresh augmentation.

A linear head on a frozen backbone learns with each data set's own augmentation policy,
three ways that share every other setting and the seeds:

    fresh       features.use = false: augments every image and runs the backbone in every
                epoch
    K views     features.use = true, features.views = 4: computes the features of four
                augmented views of each image once
    plain only  features.use = true, features.views = 0: no augmentation

The data sets are `textures` and `digits` with micro_resnet_m.cifar10 at its native size
and, if its folder is given, hymenoptera with squeezenet1_1.imagenet at 112 px. An epoch
of K views shows each image once, in one of its views, so all three ways take the same
number of steps. The result is validation accuracy.

    ZOO_WEIGHTS=FOLDER python benchmarks/views.py --out runs/views --hymenoptera PHOTOS

Finished runs are not repeated. Writes OUT/views.json, OUT/views.md and
OUT/views.png.
"""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.recipe.recipe import Recipe
from pipelines.sources.listing.catalog import preset_of
from pipelines.training.train import train
from zoo.files import replacing, write_json, write_text

FRESH, VIEWS, PLAIN = WAYS = ("fresh", "K views", "plain only")


@dataclass(frozen=True)
class Setting:
    """One data set of the comparison.

    Args:
        name: The name in the table.
        data: DATA as on the command line.
        backbone: The frozen backbone.
        size: Input height and width, in pixels; 0 uses the backbone's native size.
    """

    name: str
    data: str
    backbone: str = "micro_resnet_m.cifar10"
    size: int = 0


def recipe_for(setting: Setting, way: str, seed: int, *, views: int, epochs: int) -> Recipe:
    """Returns the recipe of one head."""
    return Recipe.from_preset(
        preset_of(setting.data),
        backbone=setting.backbone,
        settings={
            "seed": seed,
            # Enough images to show a difference of 0.01, and few enough for a minute.
            "data": {"val_fraction": 0.3},
            "input": {"size": setting.size},
            "features": {"use": way != FRESH, "views": views if way == VIEWS else 0},
            "stopping": {"patience": 0},
            "train": {"epochs": epochs},
        },
    )


def accuracies(rows: list[dict[str, Any]], name: str, way: str) -> list[float]:
    """Returns the validation accuracies of one data set and way, ordered by seed."""
    chosen = [row for row in rows if (row["set"], row["way"]) == (name, way)]
    return [row["accuracy"] for row in sorted(chosen, key=lambda row: row["seed"])]


def table(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table: mean and range over the seeds, and paired differences."""
    lines = [
        "| validation accuracy | " + " | ".join(WAYS) + " | K views − fresh | plain only − fresh |",
        "|---|" + "---:|" * (len(WAYS) + 2),
    ]
    for name in dict.fromkeys(row["set"] for row in rows):
        by_way = {way: accuracies(rows, name, way) for way in WAYS}
        texts = [f"{statistics.mean(v):.4f} ({min(v):.3f}–{max(v):.3f})" for v in by_way.values()]
        for way in (VIEWS, PLAIN):
            gaps = [a - b for a, b in zip(by_way[way], by_way[FRESH], strict=True)]
            texts.append(f"{statistics.mean(gaps):+.4f} ({min(gaps):+.3f} to {max(gaps):+.3f})")
        lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws the accuracies, a panel for each data set and a line for each seed."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["set"] for row in rows))
    figure = Figure(figsize=(3.2 * len(names), 3.2), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        values = [accuracies(rows, name, way) for way in WAYS]
        for seed in zip(*values, strict=True):
            axis.plot(WAYS, seed, marker="o", markersize=3, color="#b0b7bf", linewidth=1)
        means = [statistics.mean(each) for each in values]
        axis.plot(WAYS, means, marker="D", color="#0b6e4f", label="mean of the seeds")
        axis.set_title(name, fontsize=9)
        axis.margins(x=0.2, y=0.2)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("validation accuracy")
    axes[0].legend(frameon=False, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def compare(
    settings: Sequence[Setting], out: Path, *, seeds: int, epochs: int, views: int
) -> list[dict[str, Any]]:
    """Trains the heads without results; returns one row for each run."""
    rows = []
    for setting in settings:
        for seed, way in itertools.product(range(seeds), WAYS):
            name = f"{setting.name}-{way.replace(' ', '-')}-{seed}"
            result = out / f"{name}.json"
            if not result.exists():
                shutil.rmtree(out / name, ignore_errors=True)
                recipe = recipe_for(setting, way, seed, views=views, epochs=epochs)
                run = train(setting.data, recipe, out=out / name)
                accuracy, timing = run.metrics["val"]["accuracy"], run.timing
                write_json(result, {"accuracy": accuracy, "timing": timing})
                shutil.rmtree(out / name)
            figures = json.loads(result.read_text(encoding="utf-8"))
            rows.append({"set": setting.name, "way": way, "seed": seed, **figures})
            print(f"{name}: {figures['accuracy']:.4f}", flush=True)
    return rows


def main(
    out: Annotated[Path, typer.Option(help="Folder of runs and results.")],
    hymenoptera: Annotated[
        Path | None, typer.Option(help="Folder of hymenoptera, with train/ and val/.")
    ] = None,
    sets: Annotated[str, typer.Option(help="Other data sets, separated by commas.")] = (
        "textures,digits"
    ),
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 5,
    epochs: Annotated[int, typer.Option(help="Epochs of every head.")] = 20,
    views: Annotated[int, typer.Option(help="K, augmented views of each image.")] = 4,
    backbone: Annotated[str, typer.Option(help="Backbone of these other data sets.")] = (
        "micro_resnet_m.cifar10"
    ),
) -> None:
    """Trains the networks without results, and writes the table and the plot."""
    settings = [Setting(name, name, backbone) for name in sets.split(",") if name]
    if hymenoptera is not None:
        setting = Setting("hymenoptera", str(hymenoptera), "squeezenet1_1.imagenet", 112)
        settings.insert(0, setting)
    rows = compare(settings, out, seeds=seeds, epochs=epochs, views=views)
    write_json(out / "views.json", {"views": views, "epochs": epochs, "rows": rows})
    write_text(out / "views.md", table(rows))
    plot(rows, out / "views.png")
    print(table(rows), end="")


if __name__ == "__main__":
    typer.run(main)
