"""Benchmark of ways to better answers: what each gains on test images, and what it costs.

EfficientNet-Lite0 with the default recipe, three seeds, which change the images that are drawn
for training; the sets are those of `benchmarks/calibration.py`:

    one split     one head, fitted without the validation images
    fold heads    the default: the mean of five heads, no image spared
    mirror        features averaged over each image and its mirror image
    three runs    the mean of Lite0, Lite1 and Lite2, all at 224 pixels
    both          the mean of these three, each with mirror images

    python benchmarks/answers.py --hymenoptera PHOTOS --signs FOLDER --cifar10 FOLDER \
        --out runs/answers

A gain is that over the fold heads, image by image. The cost is the multiply-adds of an answer.
Finished runs are not repeated. Writes OUT/answers.json and OUT/answers.md.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from benchmarks.calibration import draw_images
from pipelines.features.engines.cost import count_multiply_adds
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import prepare_devices
from pipelines.runtime.isolation import isolated
from pipelines.serving.run import Run
from pipelines.training.agreement import compute_split_answers
from pipelines.training.average import average
from pipelines.training.prepare import open_images
from pipelines.training.train import train
from pipelines.training.trainer import Trainer
from zoo.files import write_json, write_text

SEEDS = 3
SIZE = 224
SINGLE: dict[str, tuple[int, dict[str, Any]]] = {
    "one split": (0, {"train.folds": 0}),
    "fold heads": (0, {}),
    "mirror": (0, {"backbone.symmetry": "mirror"}),
    "lite1": (1, {}),
    "lite2": (2, {}),
    "lite1, mirror": (1, {"backbone.symmetry": "mirror"}),
    "lite2, mirror": (2, {"backbone.symmetry": "mirror"}),
}
"""By name, the number of the EfficientNet-Lite, and settings."""

MEANS = {
    "three runs": ("fold heads", "lite1", "lite2"),
    "both": ("mirror", "lite1, mirror", "lite2, mirror"),
}
METHODS = ("one split", "fold heads", "mirror", "three runs", "both")
BASE = "fold heads"


@isolated()
def answer_tests(run: Run) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Returns the probabilities of a run's test images, by its features, and their labels."""
    recipe = run.recipe
    devices = prepare_devices(recipe.device, on_images=False)
    source = open_images(recipe)
    trainer = Trainer(recipe, source, devices)
    trainer.prepare()
    found = compute_split_answers(run.load_model(), None, recipe, source, trainer.features)
    return found["test"].predictions["label"], source.splits["test"].labels


def judge(rows: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Returns hits and cross-entropy of each image."""
    hits = rows.argmax(axis=1) == labels
    losses = -np.log(np.maximum(rows[np.arange(len(labels)), labels], 1e-12))
    return {"hits": hits.tolist(), "losses": np.round(losses, 6).tolist()}


def measure(data: Path, seed: int, folder: Path) -> dict[str, Any]:
    """Returns hits, losses and cost of every method on one set."""
    file = folder.with_name(f"{folder.name}.json")
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    shutil.rmtree(folder, ignore_errors=True)
    runs, answers, costs = {}, {}, {}
    labels = np.zeros(0, np.int64)
    for name, (number, settings) in SINGLE.items():
        recipe = Recipe.for_data(data, backbone=f"efficientnet_lite{number}.imagenet")
        recipe = recipe.override({"seed": seed, "input.size": SIZE, **settings})
        runs[name] = train(data, recipe, out=folder / name)
        answers[name], labels = answer_tests(runs[name])
        costs[name] = count_multiply_adds(runs[name].load_model())
    for name, members in MEANS.items():
        answers[name] = np.mean([answers[member] for member in members], axis=0)
        costs[name] = sum(costs[member] for member in members)
        made = average([runs[member] for member in members], out=folder / name)
        # That is of the whole model, on the images.
        np.testing.assert_allclose(
            made.metrics["test"]["loss"], np.mean(judge(answers[name], labels)["losses"]), atol=1e-3
        )
    found = {
        name: {**judge(answers[name], labels), "multiply_adds": costs[name]} for name in METHODS
    }
    write_json(file, found)
    shutil.rmtree(folder)
    return found


def mean_and_error(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Returns the mean and its standard error."""
    return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))


def table_of(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table: gains over the fold heads with their standard errors."""
    sets = list(dict.fromkeys(row["set"] for row in rows))
    lines = [
        f"| | cost | {' | '.join(sets)} |",
        f"|---|---:|{'---:|' * len(sets)}",
    ]
    for method in METHODS:
        first = rows[0]["methods"]
        ratio = first[method]["multiply_adds"] / first[BASE]["multiply_adds"]
        cells = [method, f"{ratio:.1f}"]
        for name in sets:
            parts: dict[str, npt.NDArray[np.float64]] = {}
            for side in (method, BASE):
                for kind in ("hits", "losses"):
                    own = [row["methods"][side][kind] for row in rows if row["set"] == name]
                    parts[f"{side} {kind}"] = np.concatenate(own).astype(np.float64)
            hits, losses = parts[f"{method} hits"], parts[f"{method} losses"]
            text = f"{hits.mean():.3f}, {losses.mean():.3f}"
            if method != BASE:
                gain, error = mean_and_error(100 * (hits - parts[f"{BASE} hits"]))
                less, loss_error = mean_and_error(losses - parts[f"{BASE} losses"])
                text += f" ({gain:+.1f} ± {error:.1f}, {less:+.3f} ± {loss_error:.3f})"
            cells.append(text)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(
    hymenoptera: Annotated[Path, typer.Option(help="With train/ and val/.")],
    signs: Annotated[Path, typer.Option(help="With a folder for each class.")],
    cifar10: Annotated[Path, typer.Option(help="With train/ and test/.")],
    out: Annotated[Path, typer.Option(help="Folder of runs and results.")],
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = SEEDS,
) -> None:
    """Measures what has no result yet, and writes the table."""
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        for name, table in draw_images(out, seed, hymenoptera, signs, cifar10):
            found = measure(table, seed, out / f"{name}-{seed}")
            rows.append({"set": name, "seed": seed, "methods": found})
            print(
                name,
                seed,
                {key: round(float(np.mean(value["hits"])), 4) for key, value in found.items()},
            )
            write_json(out / "answers.json", {"rows": rows})
            write_text(out / "answers.md", table_of(rows))
    print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
