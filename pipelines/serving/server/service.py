"""What the routes of a server share: the model of the moment, limits, threads and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException

from pipelines.serving.server.admission import RETRY_AFTER, Admission
from pipelines.serving.server.bodies import BodyReader
from pipelines.serving.server.limits import Limits
from pipelines.serving.server.metrics import Metrics
from pipelines.serving.server.served_model import OpenedModel, Outcome, ServedModel, Workers
from pipelines.serving.server.versions import ModelSource, Versions


class Service:
    """A model under a name, and all that it takes to answer requests about it.

    Args:
        name: By which clients know the model.
        source: Where its versions come from.
        limits: What the server takes on.

    Raises:
        ZooError: The newest version cannot be served.
    """

    def __init__(self, name: str, source: ModelSource, limits: Limits) -> None:
        self.name, self.limits = name, limits
        self.bodies, self.metrics, self.workers = BodyReader(limits), Metrics(), Workers()
        self._admission = Admission(limits)
        self.metrics.waiting.set_function(lambda: self._admission.num_images)
        newest = source.find_newest()
        self.versions = Versions(source, newest, source.open(newest), self._serve)

    async def answer(
        self, model: ServedModel, names: Sequence[str], contents: Sequence[bytes]
    ) -> list[Outcome]:
        """Answers files.

        Args:
            model: The version that was the newest when the request came.
            names: Of N files.
            contents: Their bytes.

        Returns:
            N outcomes.

        Raises:
            HTTPException: They are too many, or it takes too long.
        """
        with self._admission.admit(len(contents)):
            return await self._in_time(model.answer(names, contents))

    async def explain(
        self, model: ServedModel, name: str, content: bytes, task: str, index: int
    ) -> tuple[str, dict[str, Any]]:
        """Explains a class of an image; see `ServedModel.explain`.

        Args:
            model: The version.
            name: The file's name.
            content: Its bytes.
            task: The name of a task with classes.
            index: The class.

        Raises:
            HTTPException: Too many images are waiting, or it takes too long.
        """
        with self._admission.admit(1):
            return await self._in_time(model.explain(name, content, task, index))

    async def _in_time(self, answer: Any) -> Any:
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                return await answer
        except TimeoutError:
            raise HTTPException(
                503, f"no answer within {self.limits.timeout_s:g} s; try again later", RETRY_AFTER
            ) from None

    def _serve(self, opened: OpenedModel) -> ServedModel:
        self.metrics.version.set(opened.version)
        return ServedModel(opened, self.limits, self.workers, self.metrics)
