"""One version of a model, ready to answer requests: checked, warmed up, and batched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.evaluation.predictions import Answers
from pipelines.runtime.devices import num_cores
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.serving.inputs import list_inputs
from pipelines.serving.predictor import Predictor, open_predictor
from pipelines.serving.server.batcher import Batcher
from pipelines.serving.server.explanation import Explainer, open_explainer
from pipelines.serving.server.limits import Limits
from pipelines.serving.server.metrics import Metrics
from pipelines.storage.run_folder import RunFolder
from zoo.errors import RunError

_WARM_UP_SIDE = 64


class Outcome(NamedTuple):
    """What became of an image: why it is not predicted, or the answers for it alone."""

    problem: str
    answers: Answers


@dataclass(frozen=True)
class Workers:
    """Threads of a server, which all of its models share.

    Args:
        decoders: Decode images, as many at a time as there are processors.
        network: The one thread that computes.
    """

    decoders: Executor = field(default_factory=lambda: ThreadPoolExecutor(num_cores(), "decoder"))
    network: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "network"))

    def close(self) -> None:
        """Ends the threads when they have done what they are at."""
        self.decoders.shutdown(wait=False, cancel_futures=True)
        self.network.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class OpenedModel:
    """A version that has predicted an image.

    Args:
        version: Its number.
        predictor: Predicts files.
        example: Answers for one image, which show what outputs there are.
        explainer: Of a run; None of other models.
    """

    version: int
    predictor: Predictor
    example: Answers
    explainer: Explainer | None = None


def open_model(
    model: RunFolder | Path, version: int, *, trust: bool = False, verify: Path | None = None
) -> OpenedModel:
    """Opens a model and has it predict an image, which also builds what later calls use.

    Args:
        model: As `pipelines.serving.predictor.open_predictor` takes it.
        version: Its number.
        trust: As there.
        verify: As there.

    Raises:
        ZooError: As there; a RunError if it does not predict.
    """
    with isolated():
        start_keras()
        predictor = open_predictor(model, trust=trust, verify=verify)
        explainer = open_explainer(model) if isinstance(model, RunFolder) else None
    # Not within the isolation, whose end has TensorFlow build its functions anew.
    pixels = np.zeros((_WARM_UP_SIDE, _WARM_UP_SIDE, 3), np.uint8)
    (image,) = list_inputs(pixels)
    try:
        (problem,), example = predictor.predict([image.name], [image.read()])
    # TensorFlow's errors and others, by what is damaged.
    except Exception as error:
        problem, example = " ".join(str(error).split())[:200] or type(error).__name__, Answers()
    finite = all(np.isfinite(rows).all() for rows in example.predictions.values())
    if problem or not finite:
        name = model.path if isinstance(model, RunFolder) else model
        raise RunError(
            f"{name} does not predict an image",
            expected="finite predictions",
            received=problem or "values that are not",
        )
    return OpenedModel(version, predictor, example, explainer)


class ServedModel:
    """An opened model that answers requests of an event loop.

    Args:
        opened: The model.
        limits: The server's.
        workers: The server's.
        metrics: The server's.
    """

    def __init__(
        self, opened: OpenedModel, limits: Limits, workers: Workers, metrics: Metrics
    ) -> None:
        self.version, self.example = opened.version, opened.example
        self.tasks = opened.predictor.tasks
        self.explainer = opened.explainer
        self._predictor, self._limits = opened.predictor, limits
        self._workers, self._metrics = workers, metrics
        self._batcher: Batcher[Any, Outcome] = Batcher(
            self._compute,
            workers.network,
            max_batch=limits.max_batch,
            max_delay_s=limits.max_delay_ms / 1000,
        )

    async def answer(self, names: Sequence[str], contents: Sequence[bytes]) -> list[Outcome]:
        """Answers files, each on its own.

        Args:
            names: Of N files.
            contents: Their bytes.

        Returns:
            N outcomes.
        """
        files = zip(names, contents, strict=True)
        return await asyncio.gather(*(self._answer(*file) for file in files))

    async def explain(
        self, name: str, content: bytes, task: str, index: int
    ) -> tuple[str, dict[str, Any]]:
        """Explains a class of an image; only where there is an `explainer`.

        Args:
            name: The file's.
            content: Its bytes.
            task: The name of a task with classes.
            index: The class.

        Returns:
            Why there is no explanation, or the `map` and the `box` that it covers; see
            `pipelines.serving.server.explanation`.
        """
        loop = asyncio.get_running_loop()
        decoders, network = self._workers.decoders, self._workers.network
        image, problem = await loop.run_in_executor(decoders, self._prepare, name, content)
        if problem or self.explainer is None:
            return problem, {}
        compute, box = self.explainer.compute, self.explainer.box
        rows = await loop.run_in_executor(network, compute, image, task, index)
        return "", {"map": rows, "box": await loop.run_in_executor(decoders, box, name, content)}

    async def _answer(self, name: str, content: bytes) -> Outcome:
        loop = asyncio.get_running_loop()
        prepare, decoders = self._prepare, self._workers.decoders
        prepared, problem = await loop.run_in_executor(decoders, prepare, name, content)
        outcome = Outcome(problem, Answers()) if problem else await self._batcher.submit(prepared)
        self._metrics.images.labels("broken" if outcome.problem else "predicted").inc()
        return outcome

    def _prepare(self, name: str, content: bytes) -> tuple[Any, str]:
        if problem := self._limits.find_problem(name, content):
            return None, problem
        return self._predictor.prepare(name, content)

    def _compute(self, prepared: Sequence[Any]) -> list[Outcome]:
        self._metrics.batches.observe(len(prepared))
        problems, answers = self._predictor.compute(prepared)
        outcomes, row = [], 0
        for problem in problems:
            outcomes.append(Outcome(problem, Answers() if problem else answers.row(row)))
            row += not problem
        return outcomes
