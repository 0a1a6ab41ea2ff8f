"""Augmentation beside its peers: images a second on all processors, in paired runs.

The same operations at the same strengths, from uint8 images to float32 batches:

    this project      one resampling and one pass, inside of tf.data
    Keras layers      batched, inside of tf.data, its maps parallel
    Albumentations    2.0.8, a process for each processor, batches in shared memory

on images in memory, 224 px in batches of 32 and 32 px in batches of 128; and at 224 px
from JPEG files of 500 × 375, decoded, cropped to the middle square and scaled. Rounds
go through all three in turn, so that what else the machine does falls on each alike;
ratios are taken within a round, and the median of rounds is reported.

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
ERASE_P, ERASE_LEAST, ERASE_MOST = 0.5, 0.02, 0.4
POLICY = (
    f"flip_lr(0.5)|shift({SHIFT})|rotate({ROTATION})|brightness({BRIGHTNESS})"
    f"|gaussian_noise({SIGMA}, min_sigma={SIGMA})|erase({ERASE_P}, area={ERASE_MOST}, fill=black)"
)
PEERS = ("this project", "Keras layers", "Albumentations")
NUM_IMAGES = 512
WARM_UP_S = 0.5
PHOTO = (375, 500)


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Args:
        name: What the table calls it.
        size: Height and width of a view, in pixels.
        batch: Images a batch.
        files: JPEG files to read; empty takes images of the views' size from memory.
    """

    name: str
    size: int
    batch: int
    files: tuple[str, ...] = ()


def draw_images(count: int, height: int, width: int) -> np.ndarray:
    """Draws images with detail of several sizes, uint8 [count, height, width, 3]."""
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
    """Writes JPEG files and returns their paths."""
    import cv2

    paths = []
    for number, image in enumerate(draw_images(count, *PHOTO)):
        paths.append(str(folder / f"{number:04d}.jpg"))
        cv2.imwrite(paths[-1], image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return tuple(paths)


def this_project(setting: Setting, images: np.ndarray) -> Iterator[Any]:
    """Yields this project's batches, float32 [B, S, S, 3], as training gets them."""
    import tensorflow as tf

    from pipelines.augment.policies import AugmentConfig
    from pipelines.input_pipeline.config import InputConfig
    from pipelines.input_pipeline.datasets import build_train_stream
    from pipelines.input_pipeline.decoded_images import DecodedImages
    from pipelines.input_pipeline.order import build_order
    from pipelines.sources.source import Examples
    from zoo.tasks import classification

    count = len(setting.files) or len(images)
    decoded = None
    if not setting.files:
        pixels = images[0].size
        shapes = np.tile(images.shape[1:3], (count, 1))
        decoded = DecodedImages(images.reshape(-1), pixels * np.arange(count), shapes)
    examples = Examples(
        names=tuple(map(str, range(count))),
        labels=np.arange(count) % 10,
        targets={"label": np.arange(count) % 10},
        files=tuple(map(Path, setting.files)) or None,
    )
    stream = build_train_stream(
        examples,
        build_order(examples.labels, setting.batch, seed=0),
        InputConfig(size=setting.size, batch_size=setting.batch, cache_mib=0),
        AugmentConfig(policy=POLICY),
        tasks=classification("0123456789"),
        decoded=decoded,
    )
    floats = stream.dataset.map(
        lambda image, *_: tf.cast(image, tf.float32), num_parallel_calls=tf.data.AUTOTUNE
    )
    yield from floats.prefetch(tf.data.AUTOTUNE)


def keras_layers(setting: Setting, images: np.ndarray) -> Iterator[Any]:
    """Yields batches of Keras' preprocessing layers in tf.data."""
    import tensorflow as tf
    from keras import layers

    pipeline = [
        layers.RandomFlip("horizontal"),
        layers.RandomTranslation(SHIFT, SHIFT, fill_mode="reflect"),
        layers.RandomRotation(ROTATION / 360, fill_mode="reflect"),
        layers.RandomBrightness(BRIGHTNESS, value_range=(0, 1)),
        layers.GaussianNoise(SIGMA),
        # A pair, since a number is the upper end of a range of probabilities; the scale is
        # that of each side.
        layers.RandomErasing(
            factor=(ERASE_P, ERASE_P),
            scale=(ERASE_LEAST**0.5, ERASE_MOST**0.5),
            fill_value=0.0,
            value_range=(0, 1),
        ),
    ]

    def augment(batch: Any) -> Any:
        # From 0 to 1, since the noise layer takes no larger deviation.
        batch = tf.cast(batch, tf.float32) / 255
        for layer in pipeline:
            batch = layer(batch, training=True)
        return tf.ensure_shape(batch, (None, setting.size, setting.size, 3))

    def read(path: Any) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        side = tf.reduce_min(tf.shape(image)[:2])
        middle = tf.image.resize_with_crop_or_pad(image, side, side)
        return tf.image.resize(middle, (setting.size, setting.size))

    if setting.files:
        sources = tf.data.Dataset.from_tensor_slices(list(setting.files)).shuffle(NUM_IMAGES)
        sources = sources.repeat().map(read, num_parallel_calls=tf.data.AUTOTUNE)
    else:
        sources = tf.data.Dataset.from_tensor_slices(images).shuffle(NUM_IMAGES).repeat()
    batches = sources.batch(setting.batch, drop_remainder=True)
    yield from batches.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def albumentations(setting: Setting, images: np.ndarray) -> Iterator[np.ndarray]:
    """Yields batches of Albumentations, made by a process for each processor.

    Images and batches lie in shared memory, so that none is copied between processes;
    each process has two batches under way.
    """
    context = multiprocessing.get_context("spawn")
    workers = os.cpu_count() or 1
    slots = 2 * workers
    shape = (slots, setting.batch, setting.size, setting.size, 3)
    inputs = SharedMemory(create=True, size=max(images.nbytes, 1))
    outputs = SharedMemory(create=True, size=4 * int(np.prod(shape)))
    np.ndarray(images.shape, np.uint8, inputs.buf)[:] = images
    batches: Any = np.ndarray(shape, np.float32, outputs.buf)
    free, ready = context.Queue(), context.Queue()
    names = (inputs.name, images.shape, outputs.name, shape)
    processes = [
        context.Process(target=_albumentations_worker, args=(setting, names, seed, free, ready))
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


def _albumentations_worker(
    setting: Setting, names: tuple[Any, ...], seed: int, free: Any, ready: Any
) -> None:
    import albumentations as A
    import cv2

    cv2.setNumThreads(1)
    input_name, input_shape, output_name, shape = names
    inputs, outputs = SharedMemory(input_name), SharedMemory(output_name)
    images: Any = np.ndarray(input_shape, np.uint8, inputs.buf)
    batches: Any = np.ndarray(shape, np.float32, outputs.buf)
    fit = [A.SmallestMaxSize(setting.size), A.CenterCrop(setting.size, setting.size)]
    augment = A.Compose(
        [
            *(fit if setting.files else []),
            A.HorizontalFlip(p=0.5),
            A.Affine(
                translate_percent={"x": (-SHIFT, SHIFT), "y": (-SHIFT, SHIFT)},
                rotate=(-ROTATION, ROTATION),
                border_mode=cv2.BORDER_REFLECT_101,
                p=1,
            ),
            A.RandomBrightnessContrast(BRIGHTNESS, 0, brightness_by_max=True, p=1),
            A.GaussNoise(std_range=(SIGMA, SIGMA), p=1),
            A.Erasing(scale=(ERASE_LEAST, ERASE_MOST), fill=0, p=ERASE_P),
        ],
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    while True:
        slot = free.get()
        for view in batches[slot]:
            if setting.files:
                path = setting.files[rng.integers(len(setting.files))]
                image = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
            else:
                image = images[rng.integers(len(images))]
            view[:] = augment(image=image)["image"]
        ready.put(slot)


MAKERS: dict[str, Callable[[Setting, np.ndarray], Iterator[Any]]] = dict(
    zip(PEERS, (this_project, keras_layers, albumentations), strict=True)
)


def measure(setting: Setting, rounds: int, seconds: float) -> dict[str, Any]:
    """Measures all three in turn, round by round.

    Args:
        setting: What is rendered.
        rounds: How often each has its turn.
        seconds: How long a turn lasts.

    Returns:
        For each peer its images a second by round, and the mean and standard deviation
        of its pixels, by which one sees that all three do as much.
    """
    images = draw_images(0 if setting.files else NUM_IMAGES, setting.size, setting.size)
    streams = {name: make(setting, images) for name, make in MAKERS.items()}
    found: dict[str, Any] = {}
    for name, stream in streams.items():
        pixels = np.concatenate([np.asarray(next(stream)) for _ in range(8)])
        pixels = pixels * 255 if pixels.max() < 2 else pixels
        found[name] = {"mean": float(pixels.mean()), "std": float(pixels.std()), "rates": []}
    for number in range(rounds):
        for name, stream in streams.items():
            _settle()
            # What was made while the others had their turn does not count.
            _draw_for(stream, WARM_UP_S)
            batches, elapsed = _draw_for(stream, seconds)
            found[name]["rates"].append(batches * setting.batch / elapsed)
        rates = ", ".join(f"{name} {found[name]['rates'][-1]:,.0f}" for name in PEERS)
        print(f"{setting.name}, round {number + 1}: {rates}", flush=True)
    streams["Albumentations"].close()  # type: ignore[attr-defined]
    return found


def _settle() -> None:
    """Waits until the pipelines of this process have filled their buffers and rest."""
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.1)
        if time.process_time() - before < 0.01:
            return


def _draw_for(stream: Iterator[Any], seconds: float) -> tuple[int, float]:
    """Takes batches for a while; returns how many, and the seconds it took."""
    started, count = time.perf_counter(), 0
    while (now := time.perf_counter()) - started < seconds:
        next(stream)
        count += 1
    return count, now - started


def ratios(found: dict[str, Any], peer: str) -> list[float]:
    """Returns how many times as fast as a peer this project is, round by round."""
    pairs = zip(found[PEERS[0]]["rates"], found[peer]["rates"], strict=True)
    return [own / other for own, other in pairs]


def table(results: dict[str, Any]) -> str:
    """Returns the results as a Markdown table: medians, and the range of the ratios."""
    lines = [
        "| images/s | " + " | ".join(PEERS) + " | × Keras layers | × Albumentations |",
        "|---|" + "---:|" * 5,
    ]
    for setting, found in results.items():
        rates = [f"{statistics.median(found[name]['rates']):,.0f}" for name in PEERS]
        for peer in PEERS[1:]:
            times = ratios(found, peer)
            median, low, high = statistics.median(times), min(times), max(times)
            rates.append(f"{median:.1f} ({low:.1f} to {high:.1f})")
        lines.append(f"| {setting} | " + " | ".join(rates) + " |")
    return "\n".join(lines) + "\n"


def plot(results: dict[str, Any], path: Path) -> None:
    """Draws images a second, on a logarithmic scale, with the ratios."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(results))
    colors = ("#0b6e4f", "#b0b7bf", "#7d8894")
    for offset, name, color in zip((-0.27, 0, 0.27), PEERS, colors, strict=True):
        rates = [statistics.median(found[name]["rates"]) for found in results.values()]
        bars = axis.bar(places + offset, rates, 0.25, label=name, color=color)
        words = [f"{rate:,.0f}" for rate in rates]
        if name != PEERS[0]:
            times = [statistics.median(ratios(found, name)) for found in results.values()]
            words = [f"{word}\n(1/{time:.1f})" for word, time in zip(words, times, strict=True)]
        axis.bar_label(bars, words, fontsize=8, padding=2)
    axis.set_yscale("log")
    axis.set_ylim(10, axis.get_ylim()[1] * 3)
    axis.set_xticks(places, list(results))
    axis.set_ylabel("images a second")
    axis.set_title(f"{POLICY}, {os.cpu_count()} processors", fontsize=7.5, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, ncols=3, loc="upper left", fontsize=8)
    figure.savefig(path, dpi=150)


def main(
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("runs/augment"),
    rounds: Annotated[int, typer.Option(help="How often each has its turn.")] = 7,
    seconds: Annotated[float, typer.Option(help="How long a turn lasts.")] = 3.0,
    photos: Annotated[
        Path | None, typer.Option(help="A folder with JPEG files to read instead of drawn ones.")
    ] = None,
) -> None:
    """Measures all settings and writes the table and the plot."""
    with tempfile.TemporaryDirectory() as folder:
        if photos:
            files = tuple(str(path) for path in sorted(photos.rglob("*.jpg")))
        else:
            files = write_photos(Path(folder), 128)
        settings = [
            Setting("224 px, batch 32", 224, 32),
            Setting("32 px, batch 128", 32, 128),
            Setting("JPEG files, 224 px, batch 32", 224, 32, files),
        ]
        results = {setting.name: measure(setting, rounds, seconds) for setting in settings}
    out.mkdir(parents=True, exist_ok=True)
    (out / "augment.json").write_text(json.dumps(results, indent=2) + "\n")
    (out / "augment.md").write_text(table(results))
    plot(results, out / "augment.png")
    print(table(results), end="")


if __name__ == "__main__":
    typer.run(main)
