"""Choice of the inference engine: `auto` by rule, `fastest` by a race."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.features.engines.engine import Engine, EngineRow
from pipelines.features.engines.network import FeatureNetwork
from pipelines.features.engines.opening import open_engine
from pipelines.features.engines.race import race_engines
from pipelines.features.engines.rule import EngineFacts, choose_by_rule
from zoo.errors import EngineError
from zoo.files import write_json
from zoo.installed import installed_version
from zoo.reading import parse_json, read_text
from zoo.table import Table

logger = logging.getLogger(__name__)

Chosen = tuple[str, Engine | None]
"""The name of an engine, and the engine itself if choosing it opened it."""


def _choose_auto(
    engines: Table[EngineRow], network: FeatureNetwork, num_images: int, folder: Path
) -> Chosen:
    """Returns the engine of the rule, or Keras where that one fails or disagrees with Keras."""
    facts = EngineFacts.of(network)
    name, reason = choose_by_rule(engines, facts)
    opened: Engine | None = None
    if name != "keras":
        refusals = _Refusals(folder / f"{network.digest}.checked.json", engines[name], facts)
        refusal = refusals.read()
        if refusal is None:
            opened, refusal = _try_to_open(engines[name], network, folder)
            refusals.write(refusal)
        if refusal:
            name, reason = "keras", f"{name} is not used: {refusal}"
    logger.info(f"engine {name}: {reason}")
    return name, opened


def _choose_fastest(
    engines: Table[EngineRow], network: FeatureNetwork, num_images: int, folder: Path
) -> Chosen:
    contenders = [row for row in engines.values() if row.installed]
    if EngineFacts.of(network).obstacle:
        contenders = [engines["keras"]]
    return race_engines(contenders, network, num_images, folder)


CHOICES: dict[str, Callable[[Table[EngineRow], FeatureNetwork, int, Path], Chosen]] = {
    "auto": _choose_auto,
    "fastest": _choose_fastest,
}
"""Values of `features.engine` that are no engine: the ways to choose one."""


def choose_engine(
    choice: str,
    engines: Table[EngineRow],
    network: FeatureNetwork,
    num_images: int,
    folder: Path,
) -> Chosen:
    """Returns the name of the engine to use, and the engine itself if it was opened.

    Args:
        choice: `auto` or `fastest`.
        engines: The engines to choose from; `keras` is the reference.
        network: The network to run.
        num_images: Images to run; only the race looks at them.
        folder: The folder of converted networks, and of what was found out about them.

    Raises:
        EngineError: The machine fails, not the engine: no space or no memory is left.
    """
    return CHOICES[choice](engines, network, num_images, folder)


def _try_to_open(
    row: EngineRow, network: FeatureNetwork, folder: Path
) -> tuple[Engine | None, str]:
    try:
        return open_engine(row, network, folder), ""
    except EngineError as error:
        if isinstance(error.__cause__, OSError | MemoryError):
            raise  # another time it may not fail, and the choice would be another
        return None, str(error)


class _Refusals:
    """Whether an engine was found to run a network as Keras does; found out anew, it is the same.

    Kept so that a network that cannot be converted is not tried again by each job.
    """

    def __init__(self, file: Path, row: EngineRow, facts: EngineFacts) -> None:
        packages = [f"{name} {installed_version(name)}" for name in row.packages]
        self.file = file
        self.key = ", ".join([row.name, *packages, *sorted(facts.vector_instructions)])
        self.all: dict[str, Any] = {}
        # A file that is absent, damaged or of other values counts as empty.
        with contextlib.suppress(OSError, ValueError, TypeError):
            self.all = dict(parse_json(read_text(file)))

    def read(self) -> str | None:
        """Returns the reason of a refusal, empty if there is none, None if that is unknown."""
        reason = self.all.get(self.key)
        return reason if isinstance(reason, str) else None

    def write(self, refusal: str) -> None:
        with contextlib.suppress(OSError):  # found out anew, it is the same
            write_json(self.file, {**self.all, self.key: refusal})
