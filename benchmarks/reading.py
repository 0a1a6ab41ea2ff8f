"""Benchmark of reading: from new files to features on disk, and data sets read again.

Four measurements, each a process of its own, the sides of a comparison in turn:

    photographs   200 of 12 megapixels as a telephone takes them, made from real ones: scanned,
                  extracted and on disk with an empty cache; beside plain Keras
                  (`image_dataset_from_directory`, `predict`, `numpy.save`) and, with --before,
                  beside another commit of this project
    small         the real ones, beside the same
    again         the second `zoo train` on a folder, in starts of TensorFlow measured beside it
    many          `zoo audit`, cold and warm, and `zoo train`, warm, on hard links to small
                  images, with the memory of the process

Files are in the page cache, and converted networks in the cache folder, for all sides.

    python -m benchmarks.reading --photos PHOTOS --again CIFAR --out runs/reading --before TREE

Writes OUT/reading.json and OUT/reading.md.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from zoo.files import write_json, write_text

BACKBONE = "efficientnet_lite0.imagenet"
SIZE = 224
TELEPHONE = (4000, 3000)
NUM_CLASSES = 10

_EXTRACT = """
import importlib, sys, time
from pipelines.runtime.stderr import suppress_stderr
with suppress_stderr():
    import tensorflow
from pipelines.augment.policies import AugmentConfig
from pipelines.features.config import FeatureConfig
from pipelines.features.engines.network import build_feature_network
from pipelines.features.extraction import Extractor
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier
from zoo.preprocessing import Preprocessing
def module(room, name):
    try:
        return importlib.import_module(f"pipelines.sources.{room}.{name}")
    except ImportError:  # an earlier commit has no rooms
        return importlib.import_module(f"pipelines.sources.{name}")

open_source = module("opening", "dataset").open_source
folder, backbone, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
classifier = build_classifier(backbone, 2, size=size, head=HeadConfig(), frozen=True)
network, preprocessing = build_feature_network(classifier), Preprocessing(size=size)
config = FeatureConfig(engine="onnxruntime")
extractor = Extractor(network, preprocessing, AugmentConfig(), seed=0, config=config)
extractor.open_engine()
options = {}
if hasattr(preprocessing, "decoder"):  # an earlier commit has none
    KeptImages = module("examining", "kept_images").KeptImages
    options["kept"] = KeptImages(preprocessing.decoder, 1024)
started, cpu = time.perf_counter(), time.process_time()
source = open_source(folder, **options)
for examples in source.splits.values():
    extractor.extract(examples, 0)
print(time.perf_counter() - started, time.process_time() - cpu)
"""

_PLAIN = """
import sys, time
import keras
import numpy as np
from pipelines.runtime.stderr import suppress_stderr
from zoo.models.classifier import build_features
folder, backbone, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
images, features = build_features(backbone, size, frozen=True)
model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(features))
model.predict(np.zeros((32, size, size, 3), "uint8"), verbose=0)
started, cpu = time.perf_counter(), time.process_time()
files = keras.utils.image_dataset_from_directory(
    folder, image_size=(size, size), crop_to_aspect_ratio=True, shuffle=False, verbose=False
)
np.save(sys.argv[4], model.predict(files, verbose=0))
print(time.perf_counter() - started, time.process_time() - cpu)
"""

_START = "import tensorflow, keras"
_ZOO = "import sys; from pipelines.cli.main import main; sys.exit(main())"


class Side:
    """One side of a comparison: a tree of the project, and its cache folder.

    Args:
        tree: Root of the project's source.
        cache: Its cache folder.
    """

    def __init__(self, tree: Path, cache: Path) -> None:
        self.tree, self.cache = tree, cache

    def run(self, script: str, *arguments: str) -> tuple[str, float, float]:
        """Runs a script.

        Returns:
            What it prints, its seconds, and its largest resident memory in MiB.

        Raises:
            RuntimeError: It fails.
        """
        environment = {**os.environ, "PYTHONPATH": str(self.tree), "ZOO_CACHE": str(self.cache)}
        measured = (
            "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); "
            "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss; "
            "print(peak / 1024); sys.exit(done.returncode > 1)"
        )
        command = [sys.executable, "-c", measured, sys.executable, "-c", script, *arguments]
        started = time.perf_counter()
        done = subprocess.run(
            command, env=environment, cwd=self.tree, capture_output=True, text=True
        )
        wall_s = time.perf_counter() - started
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        *printed, peak = done.stdout.strip().splitlines()
        return "\n".join(printed), wall_s, float(peak)

    def forget(self) -> None:
        """Empties the cache, all but the converted networks."""
        for folder in self.cache.glob("*"):
            if folder.name != "networks":
                shutil.rmtree(folder)


def make_photographs(sources: Iterable[Path], folder: Path, count: int) -> None:
    """Writes photographs as a telephone takes them, in class folders.

    A real photograph is enlarged, and noise is added as a sensor of that size has it, so that
    files have about 2 MB, those of hymenoptera 1.7 MB on average.

    Args:
        sources: Real photographs; they repeat if there are fewer than `count`.
        folder: Where the class folders are made.
        count: How many to make.
    """
    from PIL import Image

    sources, rng = list(sources), np.random.default_rng(0)
    for index in range(count):
        with Image.open(sources[index % len(sources)]) as image:
            large = image.convert("RGB").resize(TELEPHONE, Image.Resampling.BICUBIC)
        noisy = np.asarray(large, np.float32)
        noisy += rng.normal(0, 3, noisy.shape).astype(np.float32)
        content = io.BytesIO()
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
        place = folder / f"class_{index % 2}" / f"{index:05d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.getvalue())


def link_images(sources: Iterable[Path], folder: Path, count: int) -> None:
    """Makes hard links to images in class folders."""
    sources = list(sources)
    for label in range(NUM_CLASSES):
        (folder / f"class_{label}").mkdir(parents=True)
    for index in range(count):
        os.link(
            sources[index % len(sources)],
            folder / f"class_{index % NUM_CLASSES}" / f"{index:07d}.jpg",
        )


def compare_cold(sides: dict[str, Side], folder: Path, rounds: int, work: Path) -> dict[str, Any]:
    """Measures each side and plain Keras in turn: seconds and CPU seconds, a pair a round."""
    seconds: dict[str, list[list[float]]] = {name: [] for name in (*sides, "plain Keras")}
    arguments = (str(folder), BACKBONE, str(SIZE))
    for side in sides.values():
        side.run(_EXTRACT, *arguments)  # converts the network, and reads the files
    for number in range(rounds):
        for name, side in sides.items():
            side.forget()
            seconds[name].append(_numbers(side.run(_EXTRACT, *arguments)[0]))
        printed, _, _ = sides["now"].run(_PLAIN, *arguments, str(work / "plain.npy"))
        seconds["plain Keras"].append(_numbers(printed))
        latest = ", ".join(
            f"{name} {values[-1][0]:.2f} s ({values[-1][1]:.2f} s of CPU)"
            for name, values in seconds.items()
        )
        print(f"{folder.name}, round {number + 1}: {latest}", flush=True)
    return seconds


def _numbers(printed: str) -> list[float]:
    return [float(number) for number in printed.splitlines()[-1].split()]


def measure_again(side: Side, folder: Path, rounds: int, work: Path) -> dict[str, Any]:
    """Measures `zoo train` on a folder once its features are cached, and TensorFlow's start."""
    found: dict[str, Any] = {"train": [], "start": [], "first": 0.0}
    for number in range(rounds + 1):
        out = work / f"run{number}"
        _, wall_s, _ = side.run(_ZOO, "train", str(folder), "--out", str(out))
        if number:
            found["train"].append(wall_s)
            found["start"].append(side.run(_START)[1])
        else:
            found["first"] = wall_s
        print(f"{folder.name}: train {wall_s:.1f} s", flush=True)
        shutil.rmtree(out)
    return found


def measure_many(side: Side, images: list[Path], count: int, *, train: bool) -> dict[str, Any]:
    """Measures audits and a training on hard links; seconds and MiB of each."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=images[0].parent) as place:
        folder = Path(place) / "many"
        link_images(images, folder, count)
        side.forget()
        # A file that has just changed, as its number of links has, is not trusted.
        time.sleep(2.5)
        jobs: list[tuple[str, tuple[str, ...]]] = [
            ("audit, cold", ("audit", str(folder))),
            ("audit, warm", ("audit", str(folder))),
        ]
        if train:
            out = str(Path(place) / "run")
            jobs.append(("train", ("train", str(folder), "--out", out)))
        for name, arguments in jobs:
            _, wall_s, peak_mib = side.run(_ZOO, *arguments)
            found[name] = [wall_s, peak_mib]
            print(f"{count} files: {name} {wall_s:.1f} s, {peak_mib:.0f} MiB", flush=True)
    return found


def table(results: dict[str, Any]) -> str:
    """Returns the results as Markdown."""
    lines = ["| measurement | result |", "|---|---|"]
    for name in ("photographs", "small"):
        seconds = results.get(name, {})
        for other, values in seconds.items():
            pairs = list(zip(values, seconds["now"], strict=True))
            wall, cpu = (
                f"{statistics.median(theirs[i] for theirs, _ in pairs):.2f} s"
                f" ({statistics.median(theirs[i] / ours[i] for theirs, ours in pairs):.2f} times)"
                for i in (0, 1)
            )
            lines.append(f"| {name}, {other} | {wall}, CPU {cpu} |")
    if again := results.get("again"):
        ratios = [t / s for t, s in zip(again["train"], again["start"], strict=True)]
        lines.append(
            f"| train again | {statistics.median(again['train']):.1f} s, "
            f"{statistics.median(ratios):.2f} starts of TensorFlow; first {again['first']:.1f} s |"
        )
    for count, jobs in results.get("many", {}).items():
        for job, (wall_s, peak_mib) in jobs.items():
            lines.append(f"| {int(count):,} files, {job} | {wall_s:.1f} s, {peak_mib:,.0f} MiB |")
    return "\n".join(lines) + "\n"


def main(
    photos: Annotated[Path, typer.Option(help="Folder with JPEG photographs, at any depth.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/reading"),
    before: Annotated[Path | None, typer.Option(help="Source of an earlier commit.")] = None,
    again: Annotated[Path | None, typer.Option(help="Class folders to train on twice.")] = None,
    counts: Annotated[str, typer.Option(help="Numbers of files, by commas.")] = "",
    train_up_to: Annotated[int, typer.Option(help="Most files to train on.")] = 100_000,
    large: Annotated[int, typer.Option(help="Photographs of 12 megapixels.")] = 200,
    rounds: Annotated[int, typer.Option(help="Number of rounds.")] = 5,
) -> None:
    """Measures, and writes the table."""
    results: dict[str, Any] = {}
    real = sorted(photos.rglob("*.jpg"))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as place:
        work = Path(place).absolute()
        sides = {"now": Side(Path(__file__).parents[1].absolute(), work / "cache-now")}
        if before:
            sides["before"] = Side(before.absolute(), work / "cache-before")
        if large:
            make_photographs(real, work / "photographs", large)
            results["photographs"] = compare_cold(sides, work / "photographs", rounds, work)
        if rounds:
            small = work / "small"
            for index, file in enumerate(real):
                target = small / f"class_{index % 2}" / f"{index:05d}.jpg"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
            results["small"] = compare_cold(sides, small, rounds, work)
        if again:
            results["again"] = measure_again(sides["now"], again.absolute(), rounds, work)
        for count in map(int, filter(None, counts.split(","))):
            images = sorted((again or photos).absolute().rglob("*.jpg"))[:600]
            linked = [Path(shutil.copy(file, work / f"{i}.jpg")) for i, file in enumerate(images)]
            found = measure_many(sides["now"], linked, count, train=count <= train_up_to)
            results.setdefault("many", {})[str(count)] = found
        write_json(out / "reading.json", results)
    write_text(out / "reading.md", table(json.loads((out / "reading.json").read_text())))
    print(table(results), end="")


if __name__ == "__main__":
    typer.run(main)
