"""The choice of an engine: proven to agree with Keras, then the fastest in a short trial."""

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

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TOLERANCE = 1e-4
"""How far features may be from Keras' own, relative to the largest of them."""

WORTHWHILE_S = 5.0
"""Seconds that the fastest so far may need before another is tried: opening takes some too."""

_ROUND_S = 0.25
_CLOSE = 2.0


def choose_engine(
    engines: Table[EngineRow],
    network: FeatureNetwork,
    sample: Callable[[], npt.NDArray[np.uint8]],
    num_images: int,
    folder: Path,
) -> tuple[str, Engine | None]:
    """Returns the name of the fastest engine, and the engine if it was opened to find out.

    What was chosen for a network is kept and chosen again, so that a repeated job gets
    the same bits however busy the machine is. Only where engines were left out, because
    there was too little to do for them to make up for being opened, a larger job may
    try them.

    Args:
        engines: Which there are; `keras` is the one to agree with.
        network: What it is to run.
        sample: Returns uint8 [n, S, S, 3], some of the images.
        num_images: How many there are to run.
        folder: Where converted networks and choices are kept.
    """
    choices = _Choices(folder / f"{network.digest}.json", engines)
    name, tried = choices.read()
    if tried or (name and num_images <= choices.num_images):
        return name, None
    images = sample()
    opened = {"keras": open_engine(engines["keras"], network, images, folder)}
    others = [row for row in engines.values() if row.installed and row.name not in opened]
    rates = {"keras": 0.0}
    if others and _can_be_converted(network):
        rates["keras"] = measure_rate(opened["keras"], images, _ROUND_S)
        while others and num_images / max(rates.values()) > WORTHWHILE_S:
            row = others.pop(0)
            try:
                opened[row.name] = open_engine(row, network, images, folder)
            except EngineError as error:
                logger.info(f"engine {row.name} is not used: {error}")
            else:
                rates[row.name] = measure_rate(opened[row.name], images, _ROUND_S)
    if len(opened) == 1:
        choices.write("keras", num_images=num_images, tried=not others)
        return "keras", opened["keras"]
    rates = _race(opened, rates, images)
    name = max(rates, key=lambda name: rates[name])
    logger.info(
        f"engine {name}: " + ", ".join(f"{n} {rate:.0f} images/s" for n, rate in rates.items())
    )
    choices.write(name, num_images=num_images, tried=not others, rates=rates)
    return name, opened[name]


class _Choices:
    """What was chosen before on this machine for a network, by what is installed."""

    def __init__(self, file: Path, engines: Table[EngineRow]) -> None:
        self.file = file
        self.key = "+".join(row.name for row in engines.values() if row.installed)
        self.all: dict[str, Any] = {}
        # None yet, or one that cannot be read: it is made anew.
        with contextlib.suppress(OSError, ValueError, TypeError):
            self.all = dict(json.loads(file.read_text(encoding="utf-8")))
        self.entry = self.all.get(self.key, {})

    @property
    def num_images(self) -> int:
        """The largest job it was chosen for without a trial of all engines."""
        return int(self.entry.get("num_images", 0))

    def read(self) -> tuple[str, bool]:
        """Returns the engine's name, empty if none was chosen, and whether all were tried."""
        return str(self.entry.get("engine", "")), bool(self.entry.get("tried_all"))

    def write(
        self, name: str, *, num_images: int, tried: bool, rates: dict[str, float] | None = None
    ) -> None:
        entry: dict[str, Any] = {"engine": name, "num_images": num_images, "tried_all": tried}
        if rates:
            entry["images_per_s"] = {name: round(rate, 1) for name, rate in rates.items()}
        write_json(self.file, {**self.all, self.key: entry})


def _can_be_converted(network: FeatureNetwork) -> bool:
    import keras

    if network.precision != "float32" or keras.backend.backend() != "tensorflow":
        return False  # only TensorFlow's graphs are converted, and only to single precision
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def open_engine(
    row: EngineRow, network: FeatureNetwork, sample: npt.NDArray[np.uint8], folder: Path
) -> Engine:
    """Opens an engine and proves that it agrees with Keras.

    Args:
        row: Which engine.
        network: What it is to run.
        sample: uint8 [n, S, S, 3], images to compare on; at most a batch of them is.
        folder: Where converted networks are kept.

    Raises:
        EngineError: It cannot run the network, or does not agree.
        RecipeError: It is not installed.
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
        # Each engine has errors of its own for what it cannot run.
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
        # Apart by pooling: a maximum is much larger than a mean.
        scale = np.abs(expected).max(axis=(0, 2), keepdims=True)
        error = float((np.abs(received - expected) / np.maximum(scale, 1e-30)).max())
    else:
        error = float("inf")
    if not error <= TOLERANCE:
        raise EngineError(
            f"{name} does not compute what Keras computes",
            expected=f"features within {TOLERANCE:g} of the largest",
            received=f"{error:.2g}",
            mend="--set features.engine=keras",
        )


def _race(
    opened: dict[str, Engine], first: dict[str, float], sample: npt.NDArray[np.uint8]
) -> dict[str, float]:
    """Returns images/s of each; those that came close take turns once more.

    Each is at its best of both times, so that a busy moment in one decides nothing.
    """
    close = max(first.values()) / _CLOSE
    again = {n: measure_rate(opened[n], sample, _ROUND_S) for n, r in first.items() if r >= close}
    return {name: max(rate, again.get(name, 0.0)) for name, rate in first.items()}


def measure_rate(engine: Engine, sample: npt.NDArray[np.uint8], seconds: float) -> float:
    """Returns images/s of an engine, from memory, called by as many threads as it likes.

    Args:
        engine: Any.
        sample: uint8 [n, S, S, 3], images to run again and again.
        seconds: For how long, at least one call of each thread.
    """
    import numpy as np

    batch = np.resize(sample, (engine.batch_size, *sample.shape[1:]))
    engine(batch)  # what is compiled or allocated, is at the first call

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
