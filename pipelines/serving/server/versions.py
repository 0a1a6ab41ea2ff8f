"""Versions of a model in its folder: the newest is served, and a new one taken up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.serving.predictor import find_savedmodel
from pipelines.serving.server.served_model import OpenedModel, ServedModel, open_model
from pipelines.storage.destination import RECIPE_FILE
from pipelines.storage.exported_network import find_exported_network
from pipelines.storage.run_folder import RunFolder
from zoo.errors import ZooError

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""Seconds between two looks into the folder."""


@dataclass(frozen=True)
class ModelSource:
    """Where the versions of a model come from.

    Args:
        model: A run, its folder, an export, or a pretrained network by name.
        trust: As `pipelines.serving.predictor.open_predictor` takes it.
        verify: As there.
    """

    model: RunFolder | Path
    trust: bool = False
    verify: Path | None = None

    @property
    def name(self) -> str:
        """The name that clients know it by: that of its folder, or of the network."""
        if isinstance(self.model, RunFolder):
            return self.model.path.resolve().name
        folder = self.model.resolve()
        if not folder.exists():
            return str(self.model)
        return folder.parent.name if folder.name.isdecimal() else folder.name

    def find_newest(self) -> Path | None:
        """Returns the folder of the newest export; None where the model is no export."""
        if isinstance(self.model, RunFolder):
            return None
        return find_exported_network(self.model) or find_savedmodel(self.model)

    def open(self, folder: Path | None) -> OpenedModel:
        """Opens a version.

        Args:
            folder: Of an export; None opens the run or the network.

        Raises:
            ZooError: It cannot be served.
        """
        if folder is not None:
            version = int(folder.name) if folder.name.isdecimal() else 1
            return open_model(folder, version, trust=self.trust, verify=self.verify)
        model = self.model
        if isinstance(model, Path) and (model / RECIPE_FILE).is_file():
            model = RunFolder.open(model)
        return open_model(model, 1, verify=self.verify)


class Versions:
    """The version that answers, and the watch for a newer one.

    A request is answered by the version that was the newest when it came. A version that cannot
    be served is named once, and the one before goes on.

    Args:
        source: Where they come from.
        newest: The folder of the first one; None of a run or a network.
        first: What is opened already.
        serve: Has an opened model answer requests.
    """

    def __init__(
        self,
        source: ModelSource,
        newest: Path | None,
        first: OpenedModel,
        serve: Callable[[OpenedModel], ServedModel],
    ) -> None:
        self._source, self._serve = source, serve
        self.current = serve(first)
        self._seen = newest
        self._failed: set[tuple[Path, int]] = set()

    async def watch(self) -> None:
        """Takes up newer versions, for ever."""
        while self._seen is not None:
            await asyncio.sleep(POLL_S)
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        folder = self._source.find_newest()
        if folder is None or folder == self._seen:
            return
        attempt = (folder, _modified(folder))
        if attempt in self._failed:
            return
        try:
            opened = self._source.open(folder)
        except (ZooError, OSError) as error:
            self._failed.add(attempt)
            logger.warning(f"version {self.current.version} stays: {error}")
            return
        self.current, self._seen = self._serve(opened), folder
        logger.info(f"version {opened.version} is served now")


def _modified(folder: Path) -> int:
    """Returns when a version was last put there or mended, in nanoseconds."""
    times = [0]
    for file in (folder, *folder.iterdir()) if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            times.append(file.stat().st_mtime_ns)
    return max(times)
