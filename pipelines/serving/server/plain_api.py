"""A plain API: an image as the body, or files of a form, answered as `zoo predict --json` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.serving.predict import describe_answer
from pipelines.serving.prediction import Prediction
from pipelines.serving.server.responses import json_response
from pipelines.serving.server.served_model import ServedModel
from pipelines.serving.server.service import Service
from zoo.tasks import TASK_KINDS, Task

_TOP = 5


class PlainApi:
    """The endpoints that the page and newcomers use.

    Args:
        service: What they share.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/model", self.model),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/explain", self.explain, methods=["POST"]),
        ]

    async def model(self, request: Request) -> Response:
        """Says what the model predicts, and what it takes."""
        model, limits = self._service.versions.current, self._service.limits
        example = model.example
        return json_response(
            {
                "name": self._service.name,
                "version": model.version,
                "tasks": [
                    {
                        "name": task.name,
                        "kind": task.kind,
                        "bare": task.bare,
                        "classes": task.class_names,
                        "has_sets": task.name in example.sets,
                    }
                    for task in model.tasks
                ],
                "knows_unknown": example.unknown_scores is not None,
                "explains": model.explainer is not None,
                "max_body_mb": limits.max_body_mb,
            }
        )

    async def predict(self, request: Request) -> Response:
        """Predicts the image in the body, or those of a form; `?top=K` names K classes."""
        model, top = self._service.versions.current, _read_top(request)
        async with self._service.bodies.read(request) as body:
            names, contents = await _read_images(request, body, self._service.limits.max_images)
            outcomes = await self._service.answer(model, names, contents)
        problems = [outcome.problem for outcome in outcomes]
        if all(problems):
            lines = [f"{name}: {problem}" for name, problem in zip(names, problems, strict=True)]
            raise HTTPException(422, "; ".join(lines))
        predictions = [
            Prediction(name, bare=model.tasks[0].bare, error=outcome.problem)
            if outcome.problem
            else describe_answer(name, model.tasks, outcome.answers, 0, top)
            for name, outcome in zip(names, outcomes, strict=True)
        ]
        found = [prediction.to_json() for prediction in predictions]
        return json_response({"version": model.version, "predictions": found})

    async def explain(self, request: Request) -> Response:
        """Computes what in the image of the body speaks for `?class=NAME` (of `&task=NAME`)."""
        model = self._service.versions.current
        if model.explainer is None:
            raise HTTPException(404, "this model has no activation maps; serve a run that has")
        task, index = _find_class(model, request)
        async with self._service.bodies.read(request) as body:
            (name,), (content,) = await _read_images(request, body, 1)
            problem, found = await self._service.explain(model, name, content, task.name, index)
        if problem:
            raise HTTPException(422, f"{name}: {problem}")
        of = {"image": name, "task": task.name, "class": task.class_names[index]}
        return json_response({**of, **found})


def _read_top(request: Request) -> int:
    text = request.query_params.get("top", str(_TOP))
    if not (text.isascii() and text.isdecimal() and int(text[:9]) > 0):
        raise HTTPException(400, f"top is no number of classes; received {text[:20]}")
    return int(text[:9])


async def _read_images(
    request: Request, body: bytes, max_images: int
) -> tuple[Sequence[str], Sequence[bytes]]:
    """Returns the names and the bytes of the images of a request."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        # As `zoo.predict` names an image that is bytes.
        return ["images[0]"], [body]
    # The body has been read, and is bounded.
    again = Request(request.scope, _replay(body))
    async with again.form(max_files=max_images, max_fields=max_images) as form:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not files:
            raise HTTPException(400, "the form holds no file; expected an image")
        names = [file.filename or f"images[{place}]" for place, file in enumerate(files)]
        return names, [await file.read() for file in files]


def _replay(body: bytes) -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _find_class(model: ServedModel, request: Request) -> tuple[Task, int]:
    """Returns the task and the class that a request names."""
    tasks = {task.name: task for task in model.tasks if TASK_KINDS[task.kind].has_classes}
    name = request.query_params.get("task", next(iter(tasks)))
    if name not in tasks:
        raise HTTPException(400, f"no task {name} has classes; expected {', '.join(tasks)}")
    wanted = request.query_params.get("class", "")
    if wanted not in tasks[name].class_names:
        raise HTTPException(400, f"no class {wanted or 'is named'}; expected ?class=NAME")
    return tasks[name], tasks[name].class_names.index(wanted)
