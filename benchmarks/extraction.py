"""Benchmark of feature extraction, from JPEG files to features on disk, beside plain Keras.

Each engine of this project (Keras' TensorFlow graph, ONNX Runtime, OpenVINO) decodes and
resizes the same files, runs a frozen backbone and writes the same shards. Plain Keras is
what a user would write: `image_dataset_from_directory`, `predict`, `numpy.save`. Every
round runs all of them in turn, so that other load on the machine affects each alike, and
ratios are computed within rounds. A round's files differ from those of the last by a few
bytes behind the image, so that the feature store holds none of them. The backbones are

    squeezenet1_1.imagenet    0.26 billion multiply-adds an image of 224 px
    mobilenet_v2              0.30 billion; random weights, which take as long

The rates of two parts are measured too: reading, decoding and resizing alone, and each
engine alone, from memory. Utilization is relative to sgemm (OpenBLAS on all processors,
measured in every round): multiply-adds × 2 × images/s, divided by the rate of a product
of large matrices. If OpenBLAS chooses an older kernel than the processor supports, both
kernels are measured and the faster one counts.

    ZOO_WEIGHTS=FOLDER python -m benchmarks.extraction --photos PHOTOS --out runs/extraction

A backbone with a result in OUT is not measured again. Writes OUT/extraction.json,
OUT/extraction.md and OUT/extraction.png.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from benchmarks.extraction_report import plot, table
from pipelines.augment.policies import AugmentConfig
from pipelines.features.config import FeatureConfig
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.network import FeatureNetwork, build_feature_network
from pipelines.features.engines.opening import open_engine
from pipelines.features.engines.race import measure_rate
from pipelines.features.extraction import Extractor
from pipelines.input_pipeline.datasets import build_views_dataset
from pipelines.runtime.stderr import suppress_stderr
from pipelines.sources.source import Examples
from zoo.files import write_json, write_text
from zoo.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy.typing as npt

NETWORKS = ("squeezenet1_1.imagenet", "mobilenet_v2")
KERNELS = ("", "SkylakeX")
"""Values of OPENBLAS_CORETYPE: OpenBLAS' choice, and AVX-512, which it does not always use."""

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
    """Returns GFLOP/s of a float32 product of square matrices, by OpenBLAS kernel.

    A kernel that the processor does not support ends its process and is skipped.

    Args:
        size: Rows and columns of the matrices.
        repeats: Number of products, of which the fastest counts.
    """
    script, rates = _SGEMM.format(n=size, repeats=repeats), {}
    for kernel in KERNELS:
        environment = {**os.environ, **({"OPENBLAS_CORETYPE": kernel} if kernel else {})}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True
        )
        if done.returncode == 0:
            rates[kernel or "own choice"] = float(done.stdout)
    return rates


def count_multiply_adds(model: Any) -> int:
    """Counts the multiply-adds of convolutions and dense layers for one image.

    Args:
        model: A `keras.Model`; nested models are counted too.
    """
    total = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            total += count_multiply_adds(layer)
        elif (kernel := getattr(layer, "kernel", None)) is not None:
            total += math.prod(layer.output.shape[1:-1]) * math.prod(kernel.shape)
    return total


def read_photos(folder: Path, count: int) -> list[bytes]:
    """Reads `count` JPEG files in a folder and its subfolders, repeating them if necessary.

    Raises:
        typer.BadParameter: There is no JPEG file.
    """
    files = sorted(folder.rglob("*.jpg"))
    if not files:
        raise typer.BadParameter(f"no .jpg file in {folder}", param_hint="--photos")
    return [path.read_bytes() for path in itertools.islice(itertools.cycle(files), count)]


def write_round(photos: list[bytes], folder: Path, number: int) -> Examples:
    """Writes the files of a round, each with a unique digest."""
    folder.mkdir(parents=True)
    files, digests = [], []
    for index, photo in enumerate(photos):
        content = photo + f"{number} {index}".encode()  # decoders ignore bytes after the image
        digests.append(hashlib.sha256(content).hexdigest())
        files.append(folder / f"{index:05d}.jpg")
        files[-1].write_bytes(content)
    return Examples(
        names=tuple(path.name for path in files),
        labels=np.zeros(len(files), np.int64),
        files=tuple(files),
        digests=tuple(digests),
    )


def measure_reading(examples: Examples, preprocessing: Preprocessing, views: int) -> float:
    """Returns views/s of reading, decoding and resizing alone."""
    dataset = build_views_dataset(
        examples, preprocessing, AugmentConfig(), seed=0, views=range(views + 1), batch_size=32
    )
    started = time.perf_counter()
    count = sum(len(batch) for batch in dataset.as_numpy_iterator())
    return count / (time.perf_counter() - started)


def build_pooled_model(backbone: str, size: int) -> Any:
    """Builds the model of plain Keras: a backbone and global average pooling."""
    import keras

    from zoo.models.classifier import build_features

    images, features = build_features(backbone, size, frozen=True)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(features))


def measure_plain_keras(model: Any, folder: Path, file: Path) -> float:
    """Returns images/s of plain Keras, from the JPEG files of a folder to a feature file."""
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


def measure_extraction(extractor: Extractor, examples: Examples, views: int) -> float:
    """Returns views/s of an extractor, from JPEG files to features on disk.

    Raises:
        RuntimeError: The feature store already held some of the features.
    """
    started, before = time.perf_counter(), extractor.num_computed
    extractor.extract(examples, views)
    rate = (extractor.num_computed - before) / (time.perf_counter() - started)
    if extractor.num_computed - before != len(examples) * (views + 1):
        raise RuntimeError("the feature store already held features of this round")
    return rate


def measure(
    backbone: str, photos: list[bytes], *, size: int, views: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """Measures all engines in turn, round by round.

    Args:
        backbone: The backbone to run, a name of `zoo list backbones`.
        photos: The contents of JPEG files.
        size: Height and width of a view, in pixels.
        views: Augmented views of each image, besides the plain one.
        rounds: Number of rounds.
        seconds: Duration of each measurement of an engine alone.

    Returns:
        For each round, views/s of each engine from files to disk and alone, views/s of
        reading alone, images/s of plain Keras, and GFLOP/s of sgemm by kernel; also the
        multiply-adds of the network and the settings.
    """
    from zoo.heads.head import HeadConfig
    from zoo.models.classifier import build_classifier

    classifier = build_classifier(backbone, 2, size=size, head=HeadConfig(), frozen=True)
    network, preprocessing = build_feature_network(classifier), Preprocessing(size=size)
    names = [row.name for row in ENGINES.values() if row.installed]
    results: dict[str, Any] = {
        "multiply_adds": count_multiply_adds(network.model),
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
            measure_extraction(extractor, few, views)  # converts, compiles and traces
        plain, saved = build_pooled_model(backbone, size), Path(folder) / "plain.npy"
        measure_plain_keras(plain, Path(folder) / "few", saved)
        sample = _sample(few, preprocessing)
        alone = {
            name: open_engine(ENGINES[name], network, Path(folder) / "cache" / "networks")
            for name in names
        }
        for number in range(rounds):
            files = Path(folder) / f"round{number}"
            examples = write_round(photos, files, number)
            results["sgemm"].append(measure_sgemm())
            results["reading"].append(measure_reading(examples, preprocessing, views))
            results["plain Keras"].append(measure_plain_keras(plain, files, saved))
            for name in names:
                rates = results["engines"][name]
                rates["files to disk"].append(measure_extraction(extractors[name], examples, views))
                rates["alone"].append(measure_rate(alone[name], sample, seconds))
            text = ", ".join(
                f"{name} {rates['files to disk'][-1]:.0f} ({rates['alone'][-1]:.0f} alone)"
                for name, rates in results["engines"].items()
            )
            text += f", plain Keras {results['plain Keras'][-1]:.0f}"
            print(f"{backbone}, round {number + 1}: {text}", flush=True)
    return results


def _extractor(network: FeatureNetwork, preprocessing: Preprocessing, engine: str) -> Extractor:
    config = FeatureConfig(engine=engine)
    return Extractor(network, preprocessing, AugmentConfig(), seed=0, config=config)


def _sample(examples: Examples, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    dataset = build_views_dataset(
        examples, preprocessing, AugmentConfig(), seed=0, views=[0], batch_size=len(examples)
    )
    (images,) = dataset.as_numpy_iterator()
    return np.asarray(images)


def main(
    photos: Annotated[Path, typer.Option(help="Folder with JPEG files, at any depth.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/extraction"),
    backbones: Annotated[str, typer.Option(help="Backbones, separated by commas.")] = ",".join(
        NETWORKS
    ),
    count: Annotated[
        int, typer.Option(help="Files a round; photos repeat if there are fewer.")
    ] = 1200,
    views: Annotated[
        int, typer.Option(help="Augmented views of each image, besides the plain one.")
    ] = 0,
    size: Annotated[int, typer.Option(help="Height and width of a view, in pixels.")] = 224,
    rounds: Annotated[int, typer.Option(help="Number of rounds.")] = 5,
    seconds: Annotated[float, typer.Option(help="Seconds to measure an engine alone.")] = 1.0,
) -> None:
    """Measures the backbones without results, and writes the table and the plot."""
    with suppress_stderr():
        import tensorflow  # noqa: F401
    results = {}
    for backbone in backbones.split(","):
        file = out / f"{backbone}-{size}px-{views + 1}.json"
        if not file.exists():
            measured = measure(
                backbone,
                read_photos(photos, count),
                size=size,
                views=views,
                rounds=rounds,
                seconds=seconds,
            )
            write_json(file, measured)
        results[backbone] = json.loads(file.read_text(encoding="utf-8"))
    write_json(out / "extraction.json", results)
    write_text(out / "extraction.md", table(results))
    plot(results, out / "extraction.png")
    print(table(results), end="")


if __name__ == "__main__":
    typer.run(main)
