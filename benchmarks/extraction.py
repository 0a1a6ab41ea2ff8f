"""Extraction beside TensorFlow's graph: from JPEG files to features on disk, in paired runs.

Each engine of this project (Keras' own TensorFlow graph, ONNX Runtime, OpenVINO) has the
same files to decode, fit and run through a frozen backbone, and writes the same shards.
Rounds go through all engines in turn, so that what else the machine does falls on each
alike; a round's files differ from the last one's by a byte behind the image, so that
nothing is found in the store. Beside them runs what a Keras user would write, plain Keras:
`image_dataset_from_directory`, `predict`, `numpy.save`. The pixels of 224 px photographs go
through

    squeezenet1_1.imagenet    0.26 billion multiply-adds an image
    mobilenet_v2              0.30, with random weights, which take as long

and beside the rates stand those of the parts: reading, decoding and fitting alone, and
the engine alone, from memory. What share of the machine is used is said in terms of
sgemm (OpenBLAS, all processors, measured in every round): the network's
multiply-adds × 2 × images/s, by what a product of large matrices reaches. Where OpenBLAS
takes an older kernel than the processor could run, both are measured and the faster counts.

    ZOO_WEIGHTS=FOLDER python benchmarks/extraction.py --photos PHOTOS --out runs/extraction

A network that is measured is not measured again. Writes OUT/extraction.json,
OUT/extraction.md and OUT/extraction.png.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from pipelines.augment.policies import AugmentConfig
from pipelines.features.config import FeatureConfig
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.choice import measure_rate, open_engine
from pipelines.features.engines.network import FeatureNetwork, build_feature_network
from pipelines.features.extraction import Extractor
from pipelines.input_pipeline.datasets import build_views_dataset
from pipelines.runtime.devices import quiet_start
from pipelines.sources.source import Examples
from zoo.files import replacing, write_json, write_text
from zoo.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy.typing as npt

NETWORKS = ("squeezenet1_1.imagenet", "mobilenet_v2")
PEER = "keras"
KERNELS = ("", "SkylakeX")
"""Values of OPENBLAS_CORETYPE: its own choice, and AVX-512, which it overlooks on some."""

_SGEMM = """
import time
import numpy as np
a, b = np.random.default_rng(0).random((2, {n}, {n}), np.float32)
product, best = np.empty_like(a), float("inf")
for _ in range({repeats}):
    started = time.perf_counter()
    np.matmul(a, b, out=product)
    best = min(best, time.perf_counter() - started)
print(2 * {n}**3 / best / 1e9)
"""


def measure_sgemm(size: int = 2048, repeats: int = 6) -> dict[str, float]:
    """Returns GFLOP/s of a product of square matrices in float32, by OpenBLAS' kernel.

    A kernel that this processor cannot run ends its process and is left out.

    Args:
        size: Rows and columns.
        repeats: Of which the fastest counts.
    """
    script, found = _SGEMM.format(n=size, repeats=repeats), {}
    for kernel in KERNELS:
        environment = {**os.environ, **({"OPENBLAS_CORETYPE": kernel} if kernel else {})}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True
        )
        if done.returncode == 0:
            found[kernel or "own choice"] = float(done.stdout)
    return found


def multiply_adds(model: Any) -> int:
    """Counts the multiplications of convolutions and dense layers for one image.

    Args:
        model: A `keras.Model`, models inside of it included.
    """
    total = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            total += multiply_adds(layer)
        elif (kernel := getattr(layer, "kernel", None)) is not None:
            total += math.prod(layer.output.shape[1:-1]) * math.prod(kernel.shape)
    return total


def read_photos(folder: Path, count: int) -> list[bytes]:
    """Returns the bytes of the JPEG files below a folder, in turn until there are `count`.

    Raises:
        typer.BadParameter: There are none.
    """
    files = sorted(folder.rglob("*.jpg"))
    if not files:
        raise typer.BadParameter(f"no .jpg below {folder}", param_hint="--photos")
    return [path.read_bytes() for path in itertools.islice(itertools.cycle(files), count)]


def write_round(photos: list[bytes], folder: Path, number: int) -> Examples:
    """Writes a round's files, all with digests of their own, and returns them."""
    folder.mkdir(parents=True)
    files, digests = [], []
    for index, photo in enumerate(photos):
        content = photo + f"{number} {index}".encode()  # decoders end where the image does
        digests.append(hashlib.sha256(content).hexdigest())
        files.append(folder / f"{index:05d}.jpg")
        files[-1].write_bytes(content)
    return Examples(
        names=tuple(path.name for path in files),
        labels=np.zeros(len(files), np.int64),
        files=tuple(files),
        digests=tuple(digests),
    )


def rate_of_reading(examples: Examples, preprocessing: Preprocessing, views: int) -> float:
    """Returns views/s of what comes before an engine, alone."""
    dataset = build_views_dataset(
        examples, preprocessing, AugmentConfig(), seed=0, views=range(views + 1), batch_size=32
    )
    started = time.perf_counter()
    count = sum(len(batch) for batch in dataset.as_numpy_iterator())
    return count / (time.perf_counter() - started)


def build_plain(backbone: str, size: int) -> Any:
    """Builds what plain Keras predicts with: the backbone and the mean over its map."""
    import keras

    from zoo.models.classifier import build_features

    images, features = build_features(backbone, size, frozen=True)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(features))


def rate_of_plain(model: Any, folder: Path, file: Path) -> float:
    """Returns images/s of plain Keras, from the JPEG files of a folder to a file of features."""
    import keras

    started = time.perf_counter()
    images = keras.utils.image_dataset_from_directory(
        folder,
        labels=None,
        image_size=model.input_shape[1:3],
        crop_to_aspect_ratio=True,
        shuffle=False,
        verbose=False,
    )
    features = model.predict(images, verbose=0)
    np.save(file, features)
    return len(features) / (time.perf_counter() - started)


def extract(extractor: Extractor, examples: Examples, views: int) -> float:
    """Extracts features; returns views/s, from JPEG files to features on disk.

    Raises:
        RuntimeError: Some were there already, so that nothing was measured.
    """
    started, before = time.perf_counter(), extractor.num_computed
    extractor.extract(examples, views)
    rate = (extractor.num_computed - before) / (time.perf_counter() - started)
    if extractor.num_computed - before != len(examples) * (views + 1):
        raise RuntimeError("features were found that should have been computed")
    return rate


def measure(
    backbone: str, photos: list[bytes], *, size: int, views: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """Measures all engines in turn, round by round.

    Args:
        backbone: What is run.
        photos: The bytes of JPEG files.
        size: Height and width of a view, in pixels.
        views: Augmented views of each image, beside the plain one.
        rounds: How often each engine has its turn.
        seconds: How long an engine alone is measured in a round.

    Returns:
        By round: each engine's views/s from files to disk, and alone; those of reading
        alone; images/s of plain Keras; and GFLOP/s of sgemm by kernel.
    """
    from zoo.heads.head import HeadConfig
    from zoo.models.classifier import build_classifier

    classifier = build_classifier(backbone, 2, size=size, head=HeadConfig(), frozen=True)
    network, preprocessing = build_feature_network(classifier), Preprocessing(size=size)
    names = [row.name for row in ENGINES.values() if row.installed]
    found: dict[str, Any] = {
        "multiply_adds": multiply_adds(network.model),
        "images": len(photos),
        "views": views + 1,
        "size": size,
        "processors": os.cpu_count(),
        "reading": [],
        "plain Keras": [],
        "sgemm": [],
        "engines": {name: {"files to disk": [], "alone": []} for name in names},
    }
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = str(Path(folder) / "cache")
        extractors = {name: _extractor(network, preprocessing, name) for name in names}
        few = write_round(photos[:4], Path(folder) / "few", -1)
        for extractor in extractors.values():
            extract(extractor, few, views)  # converts, compiles and traces
        plain, saved = build_plain(backbone, size), Path(folder) / "plain.npy"
        rate_of_plain(plain, Path(folder) / "few", saved)
        sample = _sample(few, preprocessing)
        alone = {
            name: open_engine(ENGINES[name], network, sample, Path(folder) / "cache" / "networks")
            for name in names
        }
        for number in range(rounds):
            files = Path(folder) / f"round{number}"
            examples = write_round(photos, files, number)
            found["sgemm"].append(measure_sgemm())
            found["reading"].append(rate_of_reading(examples, preprocessing, views))
            found["plain Keras"].append(rate_of_plain(plain, files, saved))
            for name in names:
                rates = found["engines"][name]
                rates["files to disk"].append(extract(extractors[name], examples, views))
                rates["alone"].append(measure_rate(alone[name], sample, seconds))
            said = ", ".join(
                f"{name} {rates['files to disk'][-1]:.0f} ({rates['alone'][-1]:.0f} alone)"
                for name, rates in found["engines"].items()
            )
            said += f", plain Keras {found['plain Keras'][-1]:.0f}"
            print(f"{backbone}, round {number + 1}: {said}", flush=True)
    return found


def _extractor(network: FeatureNetwork, preprocessing: Preprocessing, engine: str) -> Extractor:
    config = FeatureConfig(engine=engine)
    return Extractor(network, preprocessing, AugmentConfig(), seed=0, config=config)


def _sample(examples: Examples, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    dataset = build_views_dataset(
        examples, preprocessing, AugmentConfig(), seed=0, views=[0], batch_size=len(examples)
    )
    (images,) = dataset.as_numpy_iterator()
    return np.asarray(images)


def ratios(found: dict[str, Any], engine: str, peer: str = PEER) -> list[float]:
    """Returns how many times as fast as another an engine is, from files to disk.

    Args:
        found: As `measure` returned it.
        engine: Which one.
        peer: The engine on TensorFlow's graph, another, or `plain Keras`.

    Returns:
        A ratio for each round.
    """
    own = found["engines"][engine]["files to disk"]
    others = found.get(peer) or found["engines"][peer]["files to disk"]
    return [a / b for a, b in zip(own, others, strict=True)]


def share_of_peak(found: dict[str, Any], engine: str, what: str) -> float:
    """Returns the median share of sgemm's rate that an engine's multiply-adds reach.

    Args:
        found: As `measure` returned it.
        engine: Which one.
        what: `files to disk` or `alone`.
    """
    flops = 2 * found["multiply_adds"] / 1e9
    pairs = zip(found["engines"][engine][what], found["sgemm"], strict=True)
    return statistics.median(flops * rate / max(peak.values()) for rate, peak in pairs)


def table(results: dict[str, Any]) -> str:
    """Returns the results as a Markdown table: medians, and the range of the ratios."""
    lines = [
        "| views/s | files to disk | × plain Keras | × engine keras | engine alone "
        "| reading alone | share of sgemm, to disk | share, alone |",
        "|---|" + "---:|" * 7,
    ]
    for backbone, found in results.items():
        reading = statistics.median(found["reading"])
        for engine, rates in found["engines"].items():
            times = [_range(ratios(found, engine, peer)) for peer in ("plain Keras", PEER)]
            to_disk, alone = (statistics.median(rates[what]) for what in ("files to disk", "alone"))
            shares = [share_of_peak(found, engine, what) for what in ("files to disk", "alone")]
            lines.append(
                f"| {backbone}, {engine} | {to_disk:.0f} "
                f"| {times[0]} | {times[1]} "
                f"| {alone:.0f} | {reading:.0f} | {shares[0]:.0%} | {shares[1]:.0%} |"
            )
    lines.append("")
    for backbone, found in results.items():
        peaks = {
            kernel: statistics.median(peak[kernel] for peak in found["sgemm"])
            for kernel in found["sgemm"][0]
        }
        said = ", ".join(f"{rate:.0f} ({kernel})" for kernel, rate in peaks.items())
        lines.append(
            f"{backbone}: {found['images']} files, {found['views']} views each, "
            f"{found['multiply_adds'] / 1e6:.0f} million multiply-adds at {found['size']} px, "
            f"{found['processors']} processors, sgemm {said} GFLOP/s, plain Keras "
            f"{statistics.median(found['plain Keras']):.0f} images/s.  "
        )
    return "\n".join(lines) + "\n"


def _range(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def plot(results: dict[str, Any], path: Path) -> None:
    """Draws views a second of each engine, from files to disk and alone."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(results), 3.4), layout="constrained")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (backbone, found) in zip(axes, results.items(), strict=True):
        names, places = list(found["engines"]), np.arange(len(found["engines"]))
        for offset, what, color in ((-0.2, "files to disk", "#0b6e4f"), (0.2, "alone", "#b0b7bf")):
            rates = [statistics.median(found["engines"][name][what]) for name in names]
            bars = axis.bar(places + offset, rates, 0.38, label=what, color=color)
            words = [f"{rate:.0f}" for rate in rates]
            if what != "alone":
                times = [statistics.median(ratios(found, name, "plain Keras")) for name in names]
                words = [f"{word}\n×{time:.2f}" for word, time in zip(words, times, strict=True)]
            axis.bar_label(bars, words, fontsize=8, padding=2)
        reading = statistics.median(found["reading"])
        axis.axhline(reading, color="#7d8894", linestyle=":", label="reading alone")
        axis.set(title=backbone, xticks=places, xticklabels=names)
        axis.margins(y=0.2)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(f"views a second, {os.cpu_count()} processors")
    axes[-1].legend(frameon=False, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def main(
    photos: Annotated[Path, typer.Option(help="A folder with JPEG files, at any depth.")],
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("runs/extraction"),
    backbones: Annotated[str, typer.Option(help="Which, with commas between.")] = ",".join(
        NETWORKS
    ),
    count: Annotated[int, typer.Option(help="Files a round; photos come round again.")] = 1200,
    views: Annotated[int, typer.Option(help="Augmented views, beside the plain one.")] = 0,
    size: Annotated[int, typer.Option(help="Height and width of a view, in pixels.")] = 224,
    rounds: Annotated[int, typer.Option(help="How often each engine has its turn.")] = 5,
    seconds: Annotated[float, typer.Option(help="How long an engine alone is measured.")] = 1.0,
) -> None:
    """Measures what is not there yet, and writes the table and the plot."""
    with quiet_start():
        import tensorflow  # noqa: F401
    results = {}
    for backbone in backbones.split(","):
        file = out / f"{backbone}-{size}px-{views + 1}.json"
        if not file.exists():
            found = measure(
                backbone,
                read_photos(photos, count),
                size=size,
                views=views,
                rounds=rounds,
                seconds=seconds,
            )
            write_json(file, found)
        results[backbone] = json.loads(file.read_text(encoding="utf-8"))
    write_json(out / "extraction.json", results)
    write_text(out / "extraction.md", table(results))
    plot(results, out / "extraction.png")
    print(table(results), end="")


if __name__ == "__main__":
    typer.run(main)
