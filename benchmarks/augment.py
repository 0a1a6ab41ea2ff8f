"""Augmentation throughput beside Keras layers and Albumentations, in paired rounds.

The same operations at the same strengths, from uint8 images to float32 batches:

    this project      one resampling pass, inside tf.data
    Keras layers      preprocessing layers on batches, inside tf.data, with parallel maps
    Albumentations    2.0.8, one process per processor, batches in shared memory

Scenarios: images in memory at 224 px in batches of 32 and at 32 px in batches of 128; and
JPEG files of 500 × 375 at 224 px, decoded, center-cropped to a square and scaled. Each
round measures all three in turn, so that other load on the machine affects all alike.
Ratios are taken within a round; the median over rounds is reported.

    pip install -r constraints.txt   # has the peer; or: pip install ".[cpu,bench]"
    python benchmarks/augment.py --out runs/augment

Writes OUT/augment.json, OUT/augment.md and OUT/augment.png.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

ROTATION, SHIFT, BRIGHTNESS, SIGMA = 15.0, 0.1, 0.2, 0.05
ERASE_P, ERASE_MIN_AREA, ERASE_MAX_AREA = 0.5, 0.02, 0.4
POLICY = (
    f"flip_lr(0.5)|shift({SHIFT})|rotate({ROTATION})|brightness({BRIGHTNESS})"
    f"|gaussian_noise({SIGMA}, min_sigma={SIGMA})"
    f"|erase({ERASE_P}, area={ERASE_MAX_AREA}, fill=black)"
)
NAMES = ("this project", "Keras layers", "Albumentations")
NUM_IMAGES = 512
WARM_UP_S = 0.5
PHOTO_SHAPE = (375, 500)
"""Height and width of the JPEG files, in pixels."""


@dataclass(frozen=True)
class Scenario:
    """One row of the results.

    Args:
        name: Label in the table and the plot.
        size: Side of a view, in pixels.
        batch_size: Images per batch.
        files: JPEG files to read; empty uses images in memory of the view's size.
    """

    name: str
    size: int
    batch_size: int
    files: tuple[str, ...] = ()


def build_images(count: int, height: int, width: int) -> np.ndarray:
    """Builds images with detail at several scales, uint8 [count, height, width, 3]."""
    import cv2

    rng = np.random.default_rng(0)
    images = np.zeros((count, height, width, 3), np.float32)
    for cells, strength in ((4, 60), (16, 30), (64, 15)):
        for image in images:
            shape = (min(cells, height), min(cells, width), 3)
            coarse = rng.normal(0, strength, shape).astype(np.float32)
            image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + images, 0, 255).astype(np.uint8)


def write_photos(folder: Path, count: int) -> tuple[str, ...]:
    """Writes JPEG files of such images and returns their paths."""
    import cv2

    paths = []
    for number, image in enumerate(build_images(count, *PHOTO_SHAPE)):
        paths.append(str(folder / f"{number:04d}.jpg"))
        cv2.imwrite(paths[-1], image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return tuple(paths)


def this_project(scenario: Scenario, images: np.ndarray) -> Iterator[Any]:
    """Yields this project's training batches, float32 [B, S, S, 3] in 0 to 255."""
    import tensorflow as tf

    from pipelines.augment.policies import AugmentConfig
    from pipelines.input_pipeline.config import InputConfig
    from pipelines.input_pipeline.datasets import build_train_stream
    from pipelines.input_pipeline.decoded_images import DecodedImages
    from pipelines.input_pipeline.order import build_order
    from pipelines.sources.source import Examples
    from zoo.tasks import classification

    count = len(scenario.files) or len(images)
    decoded = None
    if not scenario.files:
        pixels = images[0].size
        shapes = np.tile(images.shape[1:3], (count, 1))
        frames = np.pad(shapes, ((0, 0), (2, 0))).astype(np.float32)
        decoded = DecodedImages(images.reshape(-1), pixels * np.arange(count), shapes, frames)
    examples = Examples(
        names=tuple(map(str, range(count))),
        labels=np.arange(count) % 10,
        targets={"label": np.arange(count) % 10},
        files=tuple(map(Path, scenario.files)) or None,
    )
    stream = build_train_stream(
        examples,
        build_order(examples.labels, scenario.batch_size, seed=0),
        InputConfig(size=scenario.size, batch_size=scenario.batch_size, cache_mib=0),
        AugmentConfig.model_validate({"policy": POLICY}),
        tasks=classification("0123456789"),
        decoded=decoded,
    )
    floats = stream.dataset.map(
        lambda image, *_: tf.cast(image, tf.float32), num_parallel_calls=tf.data.AUTOTUNE
    )
    yield from floats.prefetch(tf.data.AUTOTUNE)


def keras_layers(scenario: Scenario, images: np.ndarray) -> Iterator[Any]:
    """Yields batches from Keras preprocessing layers in tf.data, float32 [B, S, S, 3] in 0 to 1."""
    import tensorflow as tf
    from keras import layers

    pipeline = [
        layers.RandomFlip("horizontal"),
        layers.RandomTranslation(SHIFT, SHIFT, fill_mode="reflect"),
        layers.RandomRotation(ROTATION / 360, fill_mode="reflect"),
        layers.RandomBrightness(BRIGHTNESS, value_range=(0, 1)),
        layers.GaussianNoise(SIGMA),
        # A pair, since a scalar is the upper end of a range of probabilities; `scale` is per
        # side, hence the roots.
        layers.RandomErasing(
            factor=(ERASE_P, ERASE_P),
            scale=(ERASE_MIN_AREA**0.5, ERASE_MAX_AREA**0.5),
            fill_value=0.0,
            value_range=(0, 1),
        ),
    ]

    def augment(batch: Any) -> Any:
        # Values in 0 to 1, since the noise layer accepts no standard deviation above 1.
        batch = tf.cast(batch, tf.float32) / 255
        for layer in pipeline:
            batch = layer(batch, training=True)
        return tf.ensure_shape(batch, (None, scenario.size, scenario.size, 3))

    def read_center_square(path: Any) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        side = tf.reduce_min(tf.shape(image)[:2])
        square = tf.image.resize_with_crop_or_pad(image, side, side)
        return tf.image.resize(square, (scenario.size, scenario.size))

    if scenario.files:
        sources = tf.data.Dataset.from_tensor_slices(list(scenario.files)).shuffle(NUM_IMAGES)
        sources = sources.repeat().map(read_center_square, num_parallel_calls=tf.data.AUTOTUNE)
    else:
        sources = tf.data.Dataset.from_tensor_slices(images).shuffle(NUM_IMAGES).repeat()
    batches = sources.batch(scenario.batch_size, drop_remainder=True)
    yield from batches.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def albumentations(scenario: Scenario, images: np.ndarray) -> Iterator[np.ndarray]:
    """Yields batches from Albumentations, float32 [B, S, S, 3] in 0 to 255.

    One process per processor fills batches. Images and batches are in shared memory, so
    that nothing is copied between processes; each process has two batches in flight.
    """
    context = multiprocessing.get_context("spawn")
    workers = os.cpu_count() or 1
    slots = 2 * workers
    shape = (slots, scenario.batch_size, scenario.size, scenario.size, 3)
    inputs = SharedMemory(create=True, size=max(images.nbytes, 1))
    outputs = SharedMemory(create=True, size=4 * int(np.prod(shape)))
    np.ndarray(images.shape, np.uint8, inputs.buf)[:] = images
    batches: Any = np.ndarray(shape, np.float32, outputs.buf)
    free, ready = context.Queue(), context.Queue()
    names = (inputs.name, images.shape, outputs.name, shape)
    processes = [
        context.Process(
            target=_run_albumentations_worker, args=(scenario, names, seed, free, ready)
        )
        for seed in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        for slot in range(slots):
            free.put(slot)
        while True:
            slot = ready.get()
            yield batches[slot]
            free.put(slot)
    finally:
        for process in processes:
            process.terminate()
            process.join()
        del batches
        for memory in (inputs, outputs):
            memory.close()
            memory.unlink()


def _run_albumentations_worker(
    scenario: Scenario, names: tuple[Any, ...], seed: int, free: Any, ready: Any
) -> None:
    import albumentations as A
    import cv2

    cv2.setNumThreads(1)
    input_name, input_shape, output_name, shape = names
    inputs, outputs = SharedMemory(input_name), SharedMemory(output_name)
    images: Any = np.ndarray(input_shape, np.uint8, inputs.buf)
    batches: Any = np.ndarray(shape, np.float32, outputs.buf)
    fit = [A.SmallestMaxSize(scenario.size), A.CenterCrop(scenario.size, scenario.size)]
    augment = A.Compose(
        [
            *(fit if scenario.files else []),
            A.HorizontalFlip(p=0.5),
            A.Affine(
                translate_percent={"x": (-SHIFT, SHIFT), "y": (-SHIFT, SHIFT)},
                rotate=(-ROTATION, ROTATION),
                border_mode=cv2.BORDER_REFLECT_101,
                p=1,
            ),
            A.RandomBrightnessContrast(BRIGHTNESS, 0, brightness_by_max=True, p=1),
            A.GaussNoise(std_range=(SIGMA, SIGMA), p=1),
            A.Erasing(scale=(ERASE_MIN_AREA, ERASE_MAX_AREA), fill=0, p=ERASE_P),
        ],
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    while True:
        slot = free.get()
        for view in batches[slot]:
            if scenario.files:
                path = scenario.files[rng.integers(len(scenario.files))]
                image = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
            else:
                image = images[rng.integers(len(images))]
            view[:] = augment(image=image)["image"]
        ready.put(slot)


PIPELINES: dict[str, Callable[[Scenario, np.ndarray], Iterator[Any]]] = dict(
    zip(NAMES, (this_project, keras_layers, albumentations), strict=True)
)


def measure(scenario: Scenario, rounds: int, seconds: float) -> dict[str, Any]:
    """Measures all pipelines in turn, round by round.

    Args:
        scenario: The images to render.
        rounds: Number of rounds.
        seconds: Duration of one measurement.

    Returns:
        For each pipeline `rates`, images/s by round, and `mean` and `std` of its pixels in
        0 to 255, which show that the pipelines do comparable work.
    """
    images = build_images(0 if scenario.files else NUM_IMAGES, scenario.size, scenario.size)
    streams = {name: build(scenario, images) for name, build in PIPELINES.items()}
    result: dict[str, Any] = {}
    for name, stream in streams.items():
        pixels = np.concatenate([np.asarray(next(stream)) for _ in range(8)])
        pixels = pixels * 255 if pixels.max() < 2 else pixels
        result[name] = {"mean": float(pixels.mean()), "std": float(pixels.std()), "rates": []}
    for number in range(rounds):
        for name, stream in streams.items():
            _wait_until_idle()
            # Discards the batches buffered while the other pipelines were measured.
            _take_batches(stream, WARM_UP_S)
            batches, elapsed_s = _take_batches(stream, seconds)
            result[name]["rates"].append(batches * scenario.batch_size / elapsed_s)
        rates = ", ".join(f"{name} {result[name]['rates'][-1]:,.0f}" for name in NAMES)
        print(f"{scenario.name}, round {number + 1}: {rates}", flush=True)
    streams["Albumentations"].close()  # type: ignore[attr-defined]
    return result


def _wait_until_idle() -> None:
    """Waits until the pipelines of this process have filled their buffers."""
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.1)
        if time.process_time() - before < 0.01:
            return


def _take_batches(stream: Iterator[Any], seconds: float) -> tuple[int, float]:
    """Takes batches until the time is up; returns their number and the elapsed seconds."""
    started, count = time.perf_counter(), 0
    while (now := time.perf_counter()) - started < seconds:
        next(stream)
        count += 1
    return count, now - started


def compute_speedups(result: dict[str, Any], peer: str) -> list[float]:
    """Computes this project's rate divided by the peer's, round by round."""
    pairs = zip(result[NAMES[0]]["rates"], result[peer]["rates"], strict=True)
    return [own / other for own, other in pairs]


def format_table(results: dict[str, Any]) -> str:
    """Formats a Markdown table: median rates, and medians and ranges of the speedups."""
    lines = [
        "| images/s | " + " | ".join(NAMES) + " | × Keras layers | × Albumentations |",
        "|---|" + "---:|" * 5,
    ]
    for scenario, result in results.items():
        rates = [f"{statistics.median(result[name]['rates']):,.0f}" for name in NAMES]
        for peer in NAMES[1:]:
            speedups = compute_speedups(result, peer)
            median, low, high = statistics.median(speedups), min(speedups), max(speedups)
            rates.append(f"{median:.1f} ({low:.1f} to {high:.1f})")
        lines.append(f"| {scenario} | " + " | ".join(rates) + " |")
    return "\n".join(lines) + "\n"


def plot(results: dict[str, Any], path: Path) -> None:
    """Plots images/s on a logarithmic scale, with the speedups."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axis = figure.subplots()
    positions = np.arange(len(results))
    colors = ("#0b6e4f", "#b0b7bf", "#7d8894")
    for offset, name, color in zip((-0.27, 0, 0.27), NAMES, colors, strict=True):
        rates = [statistics.median(result[name]["rates"]) for result in results.values()]
        bars = axis.bar(positions + offset, rates, 0.25, label=name, color=color)
        labels = [f"{rate:,.0f}" for rate in rates]
        if name != NAMES[0]:
            speedups = [
                statistics.median(compute_speedups(result, name)) for result in results.values()
            ]
            labels = [f"{label}\n(1/{x:.1f})" for label, x in zip(labels, speedups, strict=True)]
        axis.bar_label(bars, labels, fontsize=8, padding=2)
    axis.set_yscale("log")
    axis.set_ylim(10, axis.get_ylim()[1] * 3)
    axis.set_xticks(positions, list(results))
    axis.set_ylabel("images/s")
    axis.set_title(f"{POLICY}, {os.cpu_count()} processors", fontsize=7.5, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, ncols=3, loc="upper left", fontsize=8)
    figure.savefig(path, dpi=150)


def main(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("runs/augment"),
    rounds: Annotated[int, typer.Option(help="Number of rounds.")] = 7,
    seconds: Annotated[float, typer.Option(help="Seconds per measurement.")] = 3.0,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of JPEG files; generated ones if left out.")
    ] = None,
) -> None:
    """Measures all scenarios; writes the results, the table and the plot."""
    with tempfile.TemporaryDirectory() as folder:
        if photos:
            files = tuple(str(path) for path in sorted(photos.rglob("*.jpg")))
        else:
            files = write_photos(Path(folder), 128)
        scenarios = [
            Scenario("224 px, batch 32", 224, 32),
            Scenario("32 px, batch 128", 32, 128),
            Scenario("JPEG files, 224 px, batch 32", 224, 32, files),
        ]
        results = {scenario.name: measure(scenario, rounds, seconds) for scenario in scenarios}
    out.mkdir(parents=True, exist_ok=True)
    (out / "augment.json").write_text(json.dumps(results, indent=2) + "\n")
    (out / "augment.md").write_text(format_table(results))
    plot(results, out / "augment.png")
    print(format_table(results), end="")


if __name__ == "__main__":
    typer.run(main)
