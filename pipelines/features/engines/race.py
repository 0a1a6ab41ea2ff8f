"""Race of the inference engines: the fastest in a short trial of those that match Keras.

Which one wins depends on how busy the machine is, and engines differ in the last bits.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.features.engines.engine import Engine, EngineRow
from pipelines.features.engines.network import FeatureNetwork
from pipelines.features.engines.opening import build_probes, open_engine
from zoo.errors import EngineError
from zoo.files import write_json
from zoo.reading import parse_json, read_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

logger = logging.getLogger(__name__)

TRIAL_THRESHOLD_S = 5.0
"""Estimated seconds of work above which another engine is worth opening and timing."""

_TRIAL_S = 0.25
_RETRIAL_RATIO = 2.0
"""Engines at most this many times slower than the fastest are timed a second time."""


def race_engines(
    contenders: Sequence[EngineRow], network: FeatureNetwork, num_images: int, folder: Path
) -> tuple[str, Engine | None]:
    """Returns the name of the fastest engine, and the engine itself if it was opened.

    The choice for a network is stored and made again. An engine is left out where the job is
    too small to make up for opening it; a larger job may try it later.

    Args:
        contenders: Installed engines that can run the network; `keras`, the reference, first.
        network: The network to run.
        num_images: Images to run.
        folder: The folder of converted networks and stored choices.
    """
    choices = _Choices(folder / f"{network.digest}.json", contenders)
    name, tried_all = choices.read()
    if tried_all or (name and num_images <= choices.num_images):
        return name, None
    images = build_probes(network.size)
    keras, *others = contenders
    opened = {"keras": open_engine(keras, network, folder)}
    rates = {"keras": 0.0}
    if others:
        rates["keras"] = measure_rate(opened["keras"], images, _TRIAL_S)
        while others and num_images / max(rates.values()) > TRIAL_THRESHOLD_S:
            row = others.pop(0)
            try:
                opened[row.name] = open_engine(row, network, folder)
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
    """The stored choices for a network on this machine, by set of engines."""

    def __init__(self, file: Path, contenders: Sequence[EngineRow]) -> None:
        self.file = file
        self.key = "+".join(row.name for row in contenders)
        self.all: dict[str, Any] = {}
        # A file that is absent, damaged or of other values counts as empty.
        with contextlib.suppress(OSError, ValueError, TypeError):
            self.all = dict(parse_json(read_text(file)))
        entry = self.all.get(self.key)
        self.entry = entry if isinstance(entry, dict) else {}
        if self.entry.get("engine") not in [row.name for row in contenders]:
            self.entry = {}

    @property
    def num_images(self) -> int:
        """Images of the largest job that the choice was made for before all engines were tried."""
        count = self.entry.get("num_images")
        return count if isinstance(count, int) else 0

    def read(self) -> tuple[str, bool]:
        """Returns the engine's name, empty if none is stored, and whether all were tried."""
        return self.entry.get("engine", ""), self.entry.get("tried_all") is True

    def write(
        self, name: str, *, num_images: int, tried_all: bool, rates: dict[str, float] | None = None
    ) -> None:
        entry: dict[str, Any] = {"engine": name, "num_images": num_images, "tried_all": tried_all}
        if rates:
            entry["images_per_s"] = {name: round(rate, 1) for name, rate in rates.items()}
        with contextlib.suppress(OSError):  # a later job times the engines again
            write_json(self.file, {**self.all, self.key: entry})


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
