"""Benchmark of the default: `zoo train` and `zoo tune` beside scikit-learn on the same features.

Frozen SqueezeNet 1.1 and EfficientNet-Lite0, for every seed:

    hymenoptera    the photographs of train/, tested on those of val/
    signs          30 and 70 images of each of ten hand signs, tested on 30 others of each
    textures       the embedded textures, with their own test images
    digits         the embedded digits, 30 % of them for testing
    cifar10        20 and 100 images of each class, tested on 2,000

    train      `zoo train` with its defaults
    one split  the same with `train.folds = 0`: a fifth of the images is put aside for validation
    tune       `zoo tune --trials 60` with its defaults
    peer       scikit-learn's LogisticRegressionCV, with its defaults, on the standardized
               features of the very training images of `train`; a second one chooses its
               strength by log loss, as `train` does

All but `one split` train on every image that is not for testing. No choice depends on the test
images.

    ZOO_WEIGHTS=FOLDER python benchmarks/default.py --hymenoptera PHOTOS --signs FOLDER \
        --cifar10 FOLDER --out runs/default

CIFAR-10 is a folder with train/ and test/ and the classes in them. Finished measurements are not
repeated. Writes OUT/default.json, OUT/default.md and OUT/default.png.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import statistics
import warnings
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from pipelines.features.engines.network import build_feature_network
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import prepare_devices
from pipelines.search.tune import tune
from pipelines.serving.run import Run
from pipelines.sources.opening.dataset import open_source
from pipelines.training.feeds import build_feature_feed, build_recipe_order
from pipelines.training.model import build_model
from pipelines.training.train import train
from zoo.files import replacing, write_json, write_text

BACKBONES = ("squeezenet1_1.imagenet", "efficientnet_lite0.imagenet")
METHODS = ("train", "one split", "tune", "peer", "peer by log loss")
TRIALS = 60


def write_table(
    path: Path, images: Mapping[str, list[Path]], tests: Mapping[str, list[Path]]
) -> Path:
    """Writes a CSV of images by class, and of those for testing."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for split, classes in (("train", images), ("test", tests)):
            for label, files in classes.items():
                writer.writerows((str(image.resolve()), label, split) for image in files)
    return path


def list_classes(folder: Path, seed: int) -> dict[str, list[Path]]:
    """Returns the image files of every class folder, shuffled."""
    rng = np.random.default_rng(seed)
    found = {}
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(p for p in part.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
        found[part.name] = [files[i] for i in rng.permutation(len(files))]
    return found


def first(classes: Mapping[str, list[Path]], start: int, stop: int) -> dict[str, list[Path]]:
    """Returns a range of every class's images."""
    return {label: files[start:stop] for label, files in classes.items()}


def data_sets(
    out: Path, seed: int, hymenoptera: Path | None, signs: Path | None, cifar10: Path | None
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields name, DATA and settings of every set."""
    if hymenoptera:
        parts = (list_classes(hymenoptera / part, seed) for part in ("train", "val"))
        yield "hymenoptera", str(write_table(out / f"hymenoptera-{seed}.csv", *parts)), {}
    if signs:
        shown = list_classes(signs, seed)
        for count in (30, 70):
            images, tests = first(shown, 30, 30 + count), first(shown, 0, 30)
            file = write_table(out / f"signs-{count}-{seed}.csv", images, tests)
            yield f"signs, {count} a class", str(file), {}
    yield "textures", "textures", {}
    yield "digits", "digits", {"data.test_fraction": 0.3}
    if cifar10:
        shown, tests = list_classes(cifar10 / "train", seed), list_classes(cifar10 / "test", 0)
        for count in (20, 100):
            file = out / f"cifar10-{count}-{seed}.csv"
            write_table(file, first(shown, 0, count), first(tests, 0, 200))
            yield f"CIFAR-10, {count} a class", str(file), {}


def measure_run(run: Run) -> dict[str, float]:
    """Returns test accuracy and log loss of a run, and those that it expected."""
    test, val = run.metrics["test"], run.metrics.get("val")
    found = {"accuracy": float(test["accuracy"]), "loss": float(test["loss"])}
    if val:
        found |= {"val_accuracy": float(val["accuracy"]), "val_loss": float(val["loss"])}
    return found


def first_loss(run: Run) -> float:
    """Returns the training loss of a run's first epoch."""
    with (Path(run.path) / "history.csv").open(newline="") as file:
        return float(next(csv.DictReader(file))["loss"])


def measure_peers(data: str, run: Run) -> dict[str, dict[str, float]]:
    """Returns accuracy and log loss of logistic regressions on a run's plain features."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.metrics import log_loss
    from sklearn.preprocessing import StandardScaler

    recipe = run.recipe
    source = open_source(data, recipe.data, seed=recipe.seed)
    devices = prepare_devices(recipe.device, on_images=False)
    network = build_feature_network(build_model(recipe, source, devices).classifier)
    feed = build_feature_feed(recipe, source, build_recipe_order(recipe, source), network)
    splits = {
        name: (feed.extract(source.splits[name], 0).read(recipe.head.pooling), examples.labels)
        for name, examples in source.splits.items()
    }
    plain, labels = (np.concatenate((splits["train"][i], splits["val"][i])) for i in range(2))
    scaler = StandardScaler().fit(plain)
    rows = scaler.transform(plain)
    tests, answers = scaler.transform(splits["test"][0]), splits["test"][1]
    found = {}
    for name, scoring in (("peer", None), ("peer by log loss", "neg_log_loss")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", FutureWarning)  # of its coming defaults
            model = LogisticRegressionCV(max_iter=1000, scoring=scoring).fit(rows, labels)
        probabilities = model.predict_proba(tests)
        found[name] = {
            "accuracy": float((probabilities.argmax(axis=1) == answers).mean()),
            "loss": float(log_loss(answers, probabilities, labels=model.classes_)),
        }
    return found


def measure(
    data: str, backbone: str, seed: int, settings: Mapping[str, Any], folder: Path, *, search: bool
) -> dict[str, Any]:
    """Returns accuracy and log loss by method; finished methods are read from the folder."""
    file = folder.with_name(f"{folder.name}.json")
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    recipe = Recipe.for_data(data, backbone=backbone).override({"seed": seed, **settings})
    if "train" not in found:
        shutil.rmtree(folder, ignore_errors=True)
        run = train(data, recipe, out=folder / "train")
        found["train"] = measure_run(run)
        found["first_loss"] = first_loss(run)
        found["first_loss_of_chance"] = math.log(len(run.class_names))
        found |= measure_peers(data, run)
        write_json(file, found)
    if "one split" not in found:
        shutil.rmtree(folder, ignore_errors=True)
        run = train(data, recipe.override({"train.folds": 0}), out=folder / "one split")
        found["one split"] = measure_run(run)
        write_json(file, found)
    if search and "tune" not in found:
        out = folder / "tune"
        # The longest part by far: one that was interrupted goes on.
        begun = (out / "search" / "plan.json").exists()
        run = tune(data, recipe, out=out, trials=TRIALS, resume=begun)
        found["tune"] = measure_run(run)
        write_json(file, found)
    shutil.rmtree(folder, ignore_errors=True)
    return found


def means(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str, str], list[float]]:
    """Groups the values of all seeds by backbone, set, method and metric."""
    cells: dict[tuple[str, str, str, str], list[float]] = {}
    for row in rows:
        for method, metric in product(METHODS, ("accuracy", "loss")):
            if method in row:
                key = row["backbone"], row["set"], method, metric
                cells.setdefault(key, []).append(row[method][metric])
    return cells


def table_of(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table: accuracy and log loss, means over the seeds."""
    cells = means(rows)
    lines = [
        "| backbone | set | " + " | ".join(METHODS) + " |",
        "|---|---|" + "---:|" * len(METHODS),
    ]
    places = list(dict.fromkeys((backbone, name) for backbone, name, _, _ in cells))

    def cell(keys: list[tuple[str, str]], method: str) -> str:
        texts = []
        for metric in ("accuracy", "loss"):
            values = [cells.get((*key, method, metric)) for key in keys]
            if not all(values):
                return ""
            texts.append(f"{statistics.mean(statistics.mean(v) for v in values if v):.3f}")
        return " / ".join(texts)

    for backbone, name in places:
        texts = [cell([(backbone, name)], method) for method in METHODS]
        lines.append(f"| {backbone} | {name} | " + " | ".join(texts) + " |")
    lines.append("| mean | | " + " | ".join(cell(places, method) for method in METHODS) + " |")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws the gain in accuracy over the peer, a bar for each set and method."""
    from matplotlib.figure import Figure

    cells = means(rows)
    places = list(dict.fromkeys((backbone, name) for backbone, name, _, _ in cells))
    figure = Figure(figsize=(8, 0.42 * len(places) + 1.4), layout="constrained")
    axes = figure.subplots()
    for offset, method, color in ((-0.2, "train", "#1f5fa8"), (0.2, "tune", "#d98c21")):
        gains = []
        for place in places:
            own, peer = cells.get((*place, method, "accuracy")), cells[*place, "peer", "accuracy"]
            gains.append(100 * (statistics.mean(own) - statistics.mean(peer)) if own else 0.0)
        axes.barh([i + offset for i in range(len(places))], gains, 0.38, color=color, label=method)
    axes.set_yticks(range(len(places)), [f"{b.partition('.')[0]}, {name}" for b, name in places])
    axes.invert_yaxis()
    axes.axvline(0, color="#444444", linewidth=1)
    axes.set_xlabel("points of test accuracy above LogisticRegressionCV")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def main(
    out: Annotated[Path, typer.Option(help="Folder of runs and results.")],
    hymenoptera: Annotated[Path | None, typer.Option(help="With train/ and val/.")] = None,
    signs: Annotated[Path | None, typer.Option(help="With a folder for each class.")] = None,
    cifar10: Annotated[Path | None, typer.Option(help="With train/ and test/.")] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 3,
    backbone: Annotated[
        list[str] | None, typer.Option(help="Repeat for several; both by default.")
    ] = None,
    search: Annotated[bool, typer.Option(help="Whether `zoo tune` runs too.")] = True,
) -> None:
    """Measures what has no result yet, and writes the table and the plot."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed, name in product(range(seeds), backbone or BACKBONES):
        for label, data, settings in data_sets(out, seed, hymenoptera, signs, cifar10):
            folder = out / f"{name.partition('.')[0]}-{label.replace(' ', '-')}-{seed}"
            found = measure(data, name, seed, settings, folder, search=search)
            rows.append({"backbone": name, "set": label, "seed": seed, **found})
            print(json.dumps(rows[-1]), flush=True)
            write_json(out / "default.json", {"trials": TRIALS, "rows": rows})
            write_text(out / "default.md", table_of(rows))
            draw(rows, out / "default.png")
    print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
