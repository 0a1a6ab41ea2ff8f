"""Benchmark of fine-tuning on maps beside fine-tuning as the guide of Keras has it.

EfficientNet-Lite0 with its ImageNet weights, the head first, then the top two blocks with it for
ten epochs, on the photographs of hymenoptera and on 100 hand signs of each of ten digits:

    maps     `zoo train --set fine_tune.blocks=2`: what enters the blocks is computed once
    images   the same with `fine_tune.maps = "none"`: every image passes the whole network in
             every epoch
    guide    https://keras.io/guides/transfer_learning: images in memory at the network's size,
             RandomFlip and RandomRotation in the pipeline, the network called in inference mode
             below mean pooling, Dropout and Dense, Adam; the same blocks unfrozen at its rate
             of 1e-5

For each: seconds of an epoch (the median of the second to the tenth), seconds of the whole phase
from an empty cache of maps, and test accuracy after it. Test images are hymenoptera's val/ and
30 of each sign; a fifth of the others validates. No choice depends on the test images.

For the first seeds also `zoo tune --fine-tune --trials 20` with an empty cache, from the first line
to the trained winner, beside twenty times what the guide took for its head and the blocks.

    python -m benchmarks.fine_tuning --hymenoptera PHOTOS --signs FOLDER --out runs/fine_tuning

Finished measurements are not repeated. Writes OUT/fine_tuning.json, OUT/fine_tuning.md and
OUT/fine_tuning.png.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.default import first, list_classes, write_table
from pipelines.recipe.recipe import Recipe
from pipelines.search.tune import tune
from pipelines.serving.run import Run
from pipelines.sources.opening.dataset import open_source
from pipelines.training.train import train
from zoo.backbones.base import blocks_of
from zoo.backbones.catalog import build_backbone, resolve
from zoo.files import replacing, write_json, write_text
from zoo.normalization import NORMALIZATIONS

BACKBONE = "efficientnet_lite0.imagenet"
BLOCKS, EPOCHS = 2, 10
METHODS = ("maps", "images", "guide")
TRIALS = 20
BATCH = 32


def data_sets(
    out: Path, seed: int, hymenoptera: Path | None, signs: Path | None
) -> Iterator[tuple[str, str]]:
    """Yields name and DATA of every set."""
    if hymenoptera:
        parts = (list_classes(hymenoptera / part, seed) for part in ("train", "val"))
        yield "hymenoptera", str(write_table(out / f"hymenoptera-{seed}.csv", *parts))
    if signs:
        shown = list_classes(signs, seed)
        file = write_table(out / f"signs-{seed}.csv", first(shown, 30, 100), first(shown, 0, 30))
        yield "signs", str(file)


def measure_own(data: str, seed: int, folder: Path, maps: str) -> dict[str, float]:
    """Returns what fine-tuning takes and gains here, its features computed before."""
    recipe = Recipe.for_data(data, backbone=BACKBONE).override({"seed": seed, "train.folds": 0})
    tuned = recipe.override(
        {"fine_tune.blocks": BLOCKS, "fine_tune.epochs": EPOCHS, "fine_tune.maps": maps}
    )
    with empty_cache():
        train(data, recipe, out=folder / "head")
        run = train(data, tuned.override({"stopping.patience": 0}), out=folder / "tuned")
    with (Path(run.path) / "history.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["phase"] == "fine_tune"]
    seconds = [float(row["wall_s"]) for row in rows]
    return {
        "epoch_s": statistics.median(seconds[1:]),
        # Features are in the cache, so that what is computed are maps.
        "phase_s": sum(seconds) + run.timing["extract_s"],
        "accuracy": accuracy_of(run),
    }


def measure_search(data: str, seed: int, folder: Path) -> dict[str, float]:
    """Returns the seconds of a search over fine-tuning, and its test accuracy."""
    recipe = Recipe.for_data(data, backbone=BACKBONE).override({"seed": seed})
    started = time.perf_counter()
    with empty_cache():
        run = tune(data, recipe, out=folder / "search", trials=TRIALS, fine_tune=True)
    return {"search_s": time.perf_counter() - started, "accuracy": accuracy_of(run)}


@contextlib.contextmanager
def empty_cache() -> Iterator[None]:
    """Has jobs use a cache in which there is nothing."""
    cache = os.environ.get("ZOO_CACHE")
    with tempfile.TemporaryDirectory() as own:
        os.environ["ZOO_CACHE"] = own
        try:
            yield
        finally:
            os.environ.pop("ZOO_CACHE")
            if cache is not None:
                os.environ["ZOO_CACHE"] = cache


def accuracy_of(run: Run) -> float:
    """Returns a run's test accuracy."""
    return float(run.metrics["test"]["accuracy"])


def measure_guide(data: str, seed: int) -> dict[str, float]:
    """Returns what the guide's fine-tuning takes and gains."""
    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    source = open_source(data, Recipe.for_data(data).data, seed=seed)
    row, weights = resolve(BACKBONE)
    size = weights.input_size if weights else row.input_size

    def read(split: str) -> tuple[Any, Any]:
        examples = source.splits[split]
        images = [
            tf.image.resize(tf.io.decode_image(examples.read(i), 3), (size, size)).numpy()
            for i in range(len(examples))
        ]
        return np.stack(images).astype("uint8"), examples.labels

    augmentation = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)]

    def augment(images: Any, labels: Any) -> tuple[Any, Any]:
        images = tf.cast(images, tf.float32)
        for layer in augmentation:
            images = layer(images)
        return images, labels

    def dataset(split: str, *, training: bool = False) -> Any:
        images, labels = read(split)
        found = tf.data.Dataset.from_tensor_slices((images, labels))
        if training:
            found = found.shuffle(len(labels), seed=seed).batch(BATCH)
            found = found.map(augment, num_parallel_calls=tf.data.AUTOTUNE)
        else:
            found = found.batch(BATCH)
        return found.prefetch(tf.data.AUTOTUNE)

    training, validation, testing = dataset("train", training=True), dataset("val"), dataset("test")
    network = build_backbone(BACKBONE, size)
    network.trainable = False
    inputs = keras.Input((size, size, 3))
    x = NORMALIZATIONS[weights.normalization if weights else row.normalization].apply(inputs)
    x = keras.layers.GlobalAveragePooling2D()(network(x, training=False))
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(inputs, keras.layers.Dense(len(source.class_names))(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    began = time.perf_counter()
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    model.fit(training, epochs=20, validation_data=validation, verbose=0)
    network.trainable = True
    top = {id(layer) for block in blocks_of(row, network)[-BLOCKS:] for layer in block}
    for layer in network.layers:
        layer.trainable = id(layer) in top
    model.compile(keras.optimizers.Adam(1e-5), loss, metrics=["accuracy"])
    seconds: list[float] = []

    class Clock(keras.callbacks.Callback):
        """Notes the seconds of each epoch, its validation included."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            """Starts the clock."""
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Notes what the clock shows."""
            seconds.append(time.perf_counter() - self.started)

    started = time.perf_counter()
    model.fit(training, epochs=EPOCHS, validation_data=validation, verbose=0, callbacks=[Clock()])
    ended = time.perf_counter()
    accuracy = model.evaluate(testing, verbose=0, return_dict=True)["accuracy"]
    return {
        "epoch_s": statistics.median(seconds[1:]),
        "phase_s": ended - started,
        "trial_s": ended - began,
        "accuracy": float(accuracy),
    }


def measure(data: str, seed: int, folder: Path, *, search: bool) -> dict[str, dict[str, float]]:
    """Returns the measurements of every method; finished ones are read from the folder."""
    file = folder.with_name(f"{folder.name}.json")
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for method in (*METHODS, *(["search"] if search else [])):
        if method not in found:
            shutil.rmtree(folder, ignore_errors=True)
            if method == "search":
                found[method] = measure_search(data, seed, folder)
            elif method == "guide":
                found[method] = measure_guide(data, seed)
            else:
                kept = "float16" if method == "maps" else "none"
                found[method] = measure_own(data, seed, folder, kept)
            write_json(file, found)
    shutil.rmtree(folder, ignore_errors=True)
    return found


def table_of(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table: medians of seconds and of their ratios, means of accuracy."""
    lines = [
        "| set | | seconds an epoch | of ten | accuracy | an epoch's ratio | of ten |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name in dict.fromkeys(row["set"] for row in rows):
        of_set = [row for row in rows if row["set"] == name]
        for method in METHODS:
            own = [row[method] for row in of_set]
            ratios = {
                key: statistics.median(row["guide"][key] / row[method][key] for row in of_set)
                for key in ("epoch_s", "phase_s")
            }
            accuracy = [one["accuracy"] for one in own]
            spread = f" ± {statistics.stdev(accuracy):.3f}" if len(accuracy) > 1 else ""
            lines.append(
                f"| {name} | {method} "
                f"| {statistics.median(one['epoch_s'] for one in own):.2f} "
                f"| {statistics.median(one['phase_s'] for one in own):.1f} "
                f"| {statistics.mean(accuracy):.3f}{spread} "
                f"| {ratios['epoch_s']:.1f} | {ratios['phase_s']:.1f} |"
            )
    lines += ["", f"| set | `zoo tune`, {TRIALS} trials, s | the guide, s | ratio |"]
    lines.append("|---|---:|---:|---:|")
    for row in rows:
        if "search" in row:
            own_s, guide_s = row["search"]["search_s"], TRIALS * row["guide"]["trial_s"]
            lines.append(f"| {row['set']} | {own_s:.0f} | {guide_s:.0f} | {guide_s / own_s:.1f} |")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws the seconds of an epoch and of the phase, a bar for each set and method."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["set"] for row in rows))
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    colors = ("#1f5fa8", "#8fb3d9", "#d98c21")
    titles = {"epoch_s": "seconds an epoch", "phase_s": "seconds of ten epochs, maps included"}
    for axes, (key, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for place, (method, color) in enumerate(zip(METHODS, colors, strict=True)):
            values = [
                statistics.median(row[method][key] for row in rows if row["set"] == name)
                for name in names
            ]
            bars = axes.bar(
                [i + 0.27 * (place - 1) for i in range(len(names))],
                values,
                0.25,
                color=color,
                label=method,
            )
            axes.bar_label(bars, fmt="%.1f", fontsize=8)
        axes.set_xticks(range(len(names)), names)
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def main(
    out: Annotated[Path, typer.Option(help="Folder of results.")],
    hymenoptera: Annotated[Path | None, typer.Option(help="With train/ and val/.")] = None,
    signs: Annotated[Path | None, typer.Option(help="With a folder for each class.")] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 5,
    searches: Annotated[int, typer.Option(help="Seeds that are searched with, too.")] = 1,
) -> None:
    """Measures what has no result yet, and writes the table and the plot."""
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        for name, data in data_sets(out, seed, hymenoptera, signs):
            found = measure(data, seed, out / f"{name}-{seed}", search=seed < searches)
            rows.append({"set": name, "seed": seed, **found})
            print(json.dumps(rows[-1]), flush=True)
            write_json(out / "fine_tuning.json", {"rows": rows})
            write_text(out / "fine_tuning.md", table_of(rows))
            draw(rows, out / "fine_tuning.png")
    print(table_of(rows))


if __name__ == "__main__":
    typer.run(main)
