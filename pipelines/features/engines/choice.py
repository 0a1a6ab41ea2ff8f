"""Choice of the inference engine: the fastest in a short trial of those that match Keras."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.features.engines.engine import Engine, EngineRow, pad_batch
from pipelines.features.engines.network import FeatureNetwork
from zoo.errors import EngineError
from zoo.files import write_json
from zoo.table import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest deviation from Keras' features, relative to the largest feature of a pooling."""

TRIAL_THRESHOLD_S = 5.0
"""Estimated seconds of work above which another engine is worth opening and timing."""

_TRIAL_S = 0.25
_RETRIAL_RATIO = 2.0
"""Engines at most this many times slower than the fastest are timed a second time."""


def choose_engine(
    engines: Table[EngineRow],
    network: FeatureNetwork,
    sample: Callable[[], npt.NDArray[np.uint8]],
    num_images: int,
    folder: Path,
) -> tuple[str, Engine | None]:
    """Returns the name of the fastest engine, and the engine itself if it was opened.

    The choice for a network is stored and made again, so that a repeated job computes the
    same bits however busy the machine is. An engine is left out where the job is too small
    to make up for opening it; a larger job may try it later.

    Args:
        engines: The engines to choose from; `keras` is the reference.
        network: The network to run.
        sample: Returns uint8 [n, S, S, 3], some of the images.
        num_images: Images to run.
        folder: The folder of converted networks and stored choices.
    """
    choices = _Choices(folder / f"{network.digest}.json", engines)
    name, tried_all = choices.read()
    if tried_all or (name and num_images <= choices.num_images):
        return name, None
    images = sample()
    opened = {"keras": open_engine(engines["keras"], network, images, folder)}
    others = [row for row in engines.values() if row.installed and row.name not in opened]
    rates = {"keras": 0.0}
    if others and _can_be_converted(network):
        rates["keras"] = measure_rate(opened["keras"], images, _TRIAL_S)
        while others and num_images / max(rates.values()) > TRIAL_THRESHOLD_S:
            row = others.pop(0)
            try:
                opened[row.name] = open_engine(row, network, images, folder)
            except EngineError as error:
                logger.info(f"engine {row.name} is not used: {error}")
            else:
                rates[row.name] = measure_rate(opened[row.name], images, _TRIAL_S)
    if len(opened) == 1:
        choices.write("keras", num_images=num_images, tried_all=not others)
        return "keras", opened["keras"]
    rates = _time_again(opened, rates, images)
    name = max(rates, key=lambda name: rates[name])
    logger.info(
        f"engine {name}: " + ", ".join(f"{n} {rate:.0f} images/s" for n, rate in rates.items())
    )
    choices.write(name, num_images=num_images, tried_all=not others, rates=rates)
    return name, opened[name]


class _Choices:
    """The stored choices for a network on this machine, by set of installed engines."""

    def __init__(self, file: Path, engines: Table[EngineRow]) -> None:
        self.file = file
        self.key = "+".join(row.name for row in engines.values() if row.installed)
        self.all: dict[str, Any] = {}
        # A file that is absent or unreadable counts as empty.
        with contextlib.suppress(OSError, ValueError, TypeError):
            self.all = dict(json.loads(file.read_text(encoding="utf-8")))
        self.entry = self.all.get(self.key, {})

    @property
    def num_images(self) -> int:
        """Images of the largest job that the choice was made for before all engines were tried."""
        return int(self.entry.get("num_images", 0))

    def read(self) -> tuple[str, bool]:
        """Returns the engine's name, empty if none is stored, and whether all were tried."""
        return str(self.entry.get("engine", "")), bool(self.entry.get("tried_all"))

    def write(
        self, name: str, *, num_images: int, tried_all: bool, rates: dict[str, float] | None = None
    ) -> None:
        entry: dict[str, Any] = {"engine": name, "num_images": num_images, "tried_all": tried_all}
        if rates:
            entry["images_per_s"] = {name: round(rate, 1) for name, rate in rates.items()}
        write_json(self.file, {**self.all, self.key: entry})


def _can_be_converted(network: FeatureNetwork) -> bool:
    import keras

    if network.precision != "float32" or keras.backend.backend() != "tensorflow":
        return False  # tf2onnx converts TensorFlow graphs, and the engines run in float32
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def open_engine(
    row: EngineRow, network: FeatureNetwork, sample: npt.NDArray[np.uint8], folder: Path
) -> Engine:
    """Opens an engine and checks that its features match those of Keras.

    Args:
        row: The engine.
        network: The network to run.
        sample: uint8 [n, S, S, 3], images of which the first batch is compared.
        folder: The folder of converted networks.

    Raises:
        EngineError: The engine cannot run the network, or its features differ.
        RecipeError: The engine is not installed.
    """
    row.check_installed()
    try:
        engine = row.open(network, folder)
        if row.name == "keras":
            return engine
        received = engine(pad_batch(sample[: engine.batch_size], engine.batch_size))
    except EngineError:
        raise
    except Exception as error:
        # Each engine has its own error types for a network that it cannot run.
        raise EngineError(
            f"{row.name} cannot run the backbone",
            received=f"{type(error).__name__}: {str(error)[:120]}",
            mend="--set features.engine=keras",
        ) from error
    _check_agreement(row.name, network, sample[: engine.batch_size], received)
    return engine


def _check_agreement(
    name: str,
    network: FeatureNetwork,
    images: npt.NDArray[np.uint8],
    received: npt.NDArray[np.float32],
) -> None:
    import keras
    import numpy as np

    expected = keras.ops.convert_to_numpy(network.model(images, training=False))
    received = received[: len(images)]
    if received.shape == expected.shape:
        # One scale per pooling, because maxima are much larger than means.
        scale = np.abs(expected).max(axis=(0, 2), keepdims=True)
        error = float((np.abs(received - expected) / np.maximum(scale, 1e-30)).max())
    else:
        error = float("inf")
    if not error <= TOLERANCE:
        raise EngineError(
            f"features from {name} differ from those of Keras",
            expected=f"a difference of at most {TOLERANCE:g} of the largest feature",
            received=f"{error:.2g}",
            mend="--set features.engine=keras",
        )


def _time_again(
    opened: dict[str, Engine], first: dict[str, float], sample: npt.NDArray[np.uint8]
) -> dict[str, float]:
    """Times the close engines a second time; returns images/s by engine, the better of both.

    So one moment in which the machine is busy does not decide.
    """
    threshold = max(first.values()) / _RETRIAL_RATIO
    close = [name for name, rate in first.items() if rate >= threshold]
    second = {name: measure_rate(opened[name], sample, _TRIAL_S) for name in close}
    return {name: max(rate, second.get(name, 0.0)) for name, rate in first.items()}


def measure_rate(engine: Engine, sample: npt.NDArray[np.uint8], seconds: float) -> float:
    """Measures the images/s of an engine on images in memory, with `num_callers` threads.

    Args:
        engine: The engine.
        sample: uint8 [n, S, S, 3], images to run repeatedly.
        seconds: Duration; each thread makes at least one call.
    """
    import numpy as np

    batch = np.resize(sample, (engine.batch_size, *sample.shape[1:]))
    engine(batch)  # compiles and allocates

    def call_until(deadline: float) -> int:
        count = 0
        while count == 0 or time.perf_counter() < deadline:
            engine(batch)
            count += 1
        return count

    started = time.perf_counter()
    with ThreadPoolExecutor(engine.num_callers) as pool:
        calls = sum(pool.map(call_until, [started + seconds] * engine.num_callers))
    return calls * engine.batch_size / (time.perf_counter() - started)
