"""Benchmark of `zoo features`: the cost of computing elsewhere, and of very many images.

    python benchmarks/features.py overhead photos/ --out runs/features
        extraction in this process, in one process beside it and in two, in turns
    python benchmarks/features.py tasks --out runs/features [--cluster auto]
        tasks of a shard's size a second, without their work
    python benchmarks/features.py million --out runs/features
        a manifest of a million images: listing, splitting, and an epoch of a head
    python benchmarks/features.py projection --out runs/features
        time, requests and cost for 10^7 and 10^9 images on 1, 16 and 256 machines, from
        what the others measured

Each writes a JSON file to OUT; what is there is not measured again.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from pipelines.extraction.compute_features import RENEWED_AFTER, compute_features
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.cluster import open_cluster
from pipelines.sources.columns import Files, Texts
from pipelines.sources.examining.examination import ImageScan
from pipelines.sources.examining.scan_table import ScanTable
from pipelines.sources.places.place import Place, PlaceRecord
from pipelines.sources.places.tables import SCAN_COLUMNS, build_manifest, build_shard
from pipelines.sources.source import Examples, Listing
from zoo.files import write_json, write_text

app = typer.Typer(add_completion=False)

Out = Annotated[Path, typer.Option(help="Folder of the results.")]

SHARD_IMAGES = 1000
NUM_FEATURES = 128
"""Channels in two poolings of the million images: 1 GB, more than is held in memory."""

GIB = 2**30

GETS_A_SECOND, PUTS_A_SECOND = 5500, 3500
"""Requests that a prefix of a bucket answers at least.

Reference: https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html
"""


def _measured(out: Path, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns what was measured under a name, measured now if it was not before."""
    file = out / f"{name}.json"
    if not file.exists():
        out.mkdir(parents=True, exist_ok=True)
        write_json(file, measure())
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    print(json.dumps({name: found}))
    return found


@app.command()
def overhead(
    data: Annotated[str, typer.Argument(help="Images.")],
    out: Out,
    backbone: Annotated[str, typer.Option(help="The backbone.")] = "efficientnet_lite0.imagenet",
    rounds: Annotated[int, typer.Option(help="Of each way, in turns.")] = 5,
) -> None:
    """Measures extraction with and without a cluster of processes, each job a process."""

    def measure() -> dict[str, Any]:
        ways = {"none": None, "local:1": "local:1", "local:2": "local:2"}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, cluster in ways.items():
                place = out / "place"
                shutil.rmtree(place, ignore_errors=True)
                command = [sys.executable, __file__, "job", data, str(place), backbone]
                started = time.perf_counter()
                subprocess.run([*command, *(["--cluster", cluster] if cluster else [])], check=True)
                seconds[way].append(round(time.perf_counter() - started, 2))
        bytes_ = sum(path.stat().st_size for path in (out / "place" / "shards").iterdir())
        images = Place(str(out / "place")).read_manifest(["size"])
        medians = {way: statistics.median(values) for way, values in seconds.items()}
        return {
            "data": Path(data).name,
            "backbone": backbone,
            "images": len(images),
            "bytes_of_an_image": int(images["size"].to_numpy().mean()),
            "feature_bytes_of_an_image": bytes_ // len(images),
            "seconds": seconds,
            "ratio": {way: round(median / medians["none"], 3) for way, median in medians.items()},
            "images_a_second": round(len(images) / medians["none"], 1),
        }

    _measured(out, "overhead", measure)


@app.command(hidden=True)
def job(data: str, place: str, backbone: str, cluster: str | None = None) -> None:
    """Computes features: one of the jobs that `overhead` times."""
    recipe = Recipe.for_data(data, backbone=backbone)
    compute_features(data, recipe, out=place, cluster=cluster, shard_images=SHARD_IMAGES)


@app.command()
def tasks(
    out: Out,
    cluster: Annotated[str, typer.Option(help="As `zoo features` takes it.")] = "local",
    count: Annotated[int, typer.Option(help="Tasks.")] = 500,
) -> None:
    """Measures how many tasks a second begin and end, each with the names of a shard."""

    def measure() -> dict[str, Any]:
        names = [f"train/class_{n % 10}/{n:010d}.jpg" for n in range(SHARD_IMAGES)]
        with open_cluster(cluster, renewed_after=RENEWED_AFTER) as executor:
            executor.submit(len, names).result()
            started = time.perf_counter()
            futures = [executor.submit(len, names) for _ in range(count)]
            done = sum(future.result() for future in futures)
            seconds = time.perf_counter() - started
        rate = round(done / SHARD_IMAGES / seconds, 1)
        return {"cluster": cluster, "tasks": count, "tasks_a_second": rate}

    _measured(out, f"tasks-{cluster.partition(':')[0]}", measure)


@app.command()
def million(
    out: Out,
    images: Annotated[int, typer.Option(help="Images.")] = 1_000_000,
) -> None:
    """Measures listing, splitting and an epoch of a head on features of very many images."""

    def measure() -> dict[str, Any]:
        place = out / "million"
        if not (place / "features.json").exists():
            write_place(place, images)
        command = [sys.executable, __file__, "epoch", str(place), str(out / "cache")]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return found

    _measured(out, "million", measure)


def write_place(folder: Path, num_images: int) -> None:
    """Writes a place of images that nobody has, whose features tell their ten classes."""
    place, rng = Place(str(folder)), np.random.default_rng(0)
    centers = rng.normal(size=(10, 2, NUM_FEATURES)).astype(np.float32)
    keys = []
    for start in range(0, num_images, SHARD_IMAGES):
        numbers = range(start, min(start + SHARD_IMAGES, num_images))
        rows = rng.normal(scale=3, size=(len(numbers), 2, NUM_FEATURES)).astype(np.float32)
        scans = [ImageScan(_name(n), "JPEG", 500, 375, sha256=f"{n + 1:064x}") for n in numbers]
        classes = centers[np.array(numbers) % 10]
        keys.append(f"{start:032x}")
        place.write_shard(keys[-1], build_shard(ScanTable.of(scans), rows + classes))
    tables = {key: place.read_shard(key, SCAN_COLUMNS) for key in keys}
    names = Texts.of(map(_name, range(num_images)))
    examples = Examples(names, np.arange(num_images) % 10, Files("/images", names.encoded))
    listing = Listing(tuple(f"class_{n}" for n in range(10)), {"all": examples})
    place.write_manifest(build_manifest(listing, np.full(num_images, 100_000), tables))
    record = PlaceRecord(
        data="/images",
        root="/images",
        class_names=listing.class_names,
        column_names=listing.column_names,
        recipe={},
        network="0" * 64,
        preprocessing={},
        engine="keras",
        platform="",
        poolings=("avg", "max"),
        num_features=NUM_FEATURES,
    )
    place.write_record(record)


def _name(number: int) -> str:
    return f"class_{number % 10}/{number:010d}.jpg"


@app.command(hidden=True)
def epoch(place: str, cache: Path) -> None:
    """Lists, splits and trains an epoch; prints seconds and memory: the job of `million`."""
    import keras

    from pipelines.features.datasets import build_feature_stream
    from pipelines.features.feature_array import FeatureArray
    from pipelines.features.placed import PlacedFeatures
    from pipelines.features.shard_file import RowFormat
    from pipelines.features.store import FeatureStore
    from pipelines.input_pipeline.order import build_order
    from pipelines.sources.opening.dataset import open_source

    found: dict[str, Any] = {}
    clock = time.perf_counter()

    def note(name: str) -> None:
        nonlocal clock
        found[name] = {"s": round(time.perf_counter() - clock, 1), **read_memory()}
        clock = time.perf_counter()

    note("start")
    source = open_source(place)
    note("list and split")
    row = RowFormat((2, NUM_FEATURES))
    folder = FeatureStore(cache, 64 * GIB).open({"benchmark": place}, row)
    placed = PlacedFeatures(place)
    for examples in source.splits.values():
        placed.copy_to(folder, examples.binary_digests, row)
    note("copy features")
    features = FeatureArray([folder], source.train.binary_digests)
    order = build_order(source.train.labels, 1024, seed=0)
    stream = build_feature_stream(features, source.train, "avg", order, tasks=source.tasks)
    keras.utils.set_random_seed(0)
    head = keras.Sequential([keras.Input((NUM_FEATURES,)), keras.layers.Dense(10)])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    head.compile("adam", loss, metrics=["accuracy"])
    history = head.fit(stream.dataset, steps_per_epoch=stream.steps_per_epoch, verbose=0).history
    note("epoch")
    found["images"] = len(source.train) + len(source.val)
    print(json.dumps({**found, "accuracy": round(history["accuracy"][-1], 3)}))


def read_memory() -> dict[str, float]:
    """Returns GiB of this process: its own, and with mapped files, which the kernel takes back."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(":") for line in lines)
    sizes = {name: text.strip().partition(" ")[0] for name, _, text in pairs}
    fields = {"own_gib": "RssAnon", "with_files_gib": "VmRSS", "most_gib": "VmHWM"}
    return {name: round(int(sizes[field]) / 2**20, 2) for name, field in fields.items()}


@app.command()
def projection(
    out: Out,
    machine_hour: Annotated[float, typer.Option(help="Price of a machine of 16 cores.")] = 0.68,
    cores: Annotated[int, typer.Option(help="Cores of a machine.")] = 16,
    gbit: Annotated[float, typer.Option(help="Network of a machine, Gbit/s.")] = 10.0,
) -> None:
    """Computes what 10^7 and 10^9 images would take, from what was measured."""
    extraction = json.loads((out / "overhead.json").read_text(encoding="utf-8"))
    speeds = [json.loads(file.read_text())["tasks_a_second"] for file in out.glob("tasks-*.json")]
    rows = [
        project(
            10**exponent,
            machines,
            core_images_a_second=extraction["images_a_second"] / 2,
            image_bytes=extraction["bytes_of_an_image"],
            feature_bytes=extraction["feature_bytes_of_an_image"],
            tasks_a_second=min(speeds),
            cores=cores,
            bytes_a_second=gbit / 8 * 1e9,
            machine_hour=machine_hour,
        )
        for exponent in (7, 9)
        for machines in (1, 16, 256)
    ]
    write_json(out / "projection.json", rows)
    header = list(rows[0])
    lines = ["| " + " | ".join(header) + " |", "|---:" * len(header) + "|"]
    lines += ["| " + " | ".join(_format(row[name]) for name in header) + " |" for row in rows]
    write_text(out / "projection.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


def project(
    images: int,
    machines: int,
    *,
    core_images_a_second: float,
    image_bytes: float,
    feature_bytes: float,
    tasks_a_second: float,
    cores: int,
    bytes_a_second: float,
    machine_hour: float,
) -> dict[str, Any]:
    """Returns hours, requests, bytes and cost of a job, and what holds it.

    Args:
        images: How many.
        machines: How many work on them.
        core_images_a_second: Images that a core computes.
        image_bytes: Bytes of an image.
        feature_bytes: Bytes of its features.
        tasks_a_second: Shards that the scheduler hands out.
        cores: Of a machine.
        bytes_a_second: That a machine's network carries.
        machine_hour: Its price.
    """
    shards = images / SHARD_IMAGES
    seconds = {
        "computing": images / (core_images_a_second * cores * machines),
        "network": images * (image_bytes + feature_bytes) / (bytes_a_second * machines),
        "requests": max(images / GETS_A_SECOND, 2 * shards / PUTS_A_SECOND),
        "scheduler": shards / tasks_a_second,
    }
    limit = max(seconds, key=lambda name: seconds[name])
    hours = seconds[limit] / 3600
    return {
        "images": images,
        "machines": machines,
        "hours": hours,
        "held by": limit,
        "TB read": images * image_bytes / 1e12,
        "TB written": images * feature_bytes / 1e12,
        "GET": images,
        "PUT": shards,
        "machines' cost": hours * machines * machine_hour,
        "requests' cost": images * 0.4e-6 + shards * 5e-6,
    }


def _format(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2g}"


if __name__ == "__main__":
    app()
