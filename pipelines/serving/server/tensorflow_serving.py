"""TensorFlow Serving's REST API: clients that are written for it need no change.

Reference: https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.serving.inputs import list_inputs
from pipelines.serving.server.outputs import Row, as_columns, build_rows, describe_outputs
from pipelines.serving.server.responses import json_response
from pipelines.serving.server.served_model import ServedModel
from pipelines.serving.server.service import Service
from zoo.errors import InputError
from zoo.export.signatures import output_names
from zoo.reading import parse_json

_FILES, _PIXELS = ("serving_bytes", "image_bytes"), ("serving_default", "images")
"""A signature of exported models, and its input."""

_EXPECTED = '{"b64": …}, {"image_bytes": {"b64": …}}, or rows of pixels [H, W, 3] in 0 to 255'


@dataclass(frozen=True)
class Instances:
    """The images of a request.

    Args:
        names: As `instances[0]`.
        contents: The bytes of a file each; pixels are a PNG.
        files: Whether they came as files, and not as pixels.
        columns: Whether the answer is wanted as a list for each output.
    """

    names: list[str]
    contents: list[bytes]
    files: bool
    columns: bool = False


def parse_instances(body: bytes) -> Instances:
    """Reads the images of a request.

    Args:
        body: JSON: an object with `instances`, `inputs` or `examples`, and perhaps
            `signature_name`.

    Raises:
        InputError: It is anything else.
    """
    try:
        request = parse_json(body)
    except ValueError as error:
        raise InputError("the body is no JSON", received=str(error)) from None
    kinds = [kind for kind in ("instances", "inputs", "examples") if _has(request, kind)]
    if len(kinds) != 1:
        raise InputError(
            "the images of the request are not clear",
            expected='{"instances": […]}, {"inputs": …} or, to classify, {"examples": […]}',
            received=" and ".join(kinds) or "none of them",
        )
    (kind,) = kinds
    values = request[kind]
    if kind == "inputs" and isinstance(values, dict):
        if len(values) != 1 or next(iter(values)) not in (_FILES[1], _PIXELS[1]):
            raise InputError(
                "an input has no such name",
                expected=f"{_FILES[1]} or {_PIXELS[1]}",
                received=", ".join(map(str, values)) or "none",
            )
        (values,) = values.values()
    if not isinstance(values, list) or not values:
        raise InputError(f"{kind} holds no image", expected=f"a list of {_EXPECTED}")
    names = [f"{kind}[{place}]" for place in range(len(values))]
    images = [_read(name, value) for name, value in zip(names, values, strict=True)]
    is_file = {came_as_file for _, came_as_file in images}
    if len(is_file) > 1:
        raise InputError(
            f"{kind} mixes files and pixels", expected="one kind", mend="send two requests"
        )
    (files,) = is_file
    _check_signature(request.get("signature_name"), files)
    return Instances(names, [content for content, _ in images], files, kind == "inputs")


def _has(request: Any, kind: str) -> bool:
    return isinstance(request, dict) and kind in request


def _check_signature(name: object, files: bool) -> None:
    # Without a name, TensorFlow Serving takes serving_default; here, what fits the images.
    fitting = _FILES[0] if files else _PIXELS[0]
    if name not in (None, "", "serving_default", fitting):
        raise InputError(
            "no such signature takes these images", expected=fitting, received=str(name)
        )


def _read(name: str, value: Any) -> tuple[bytes, bool]:
    """Returns the bytes of an image's file, and whether it came as one."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if key in (_FILES[1], _PIXELS[1]):
            return _read(name, inner)
        if key == "b64" and isinstance(inner, str):
            try:
                return base64.b64decode(inner, validate=True), True
            except (binascii.Error, ValueError):
                raise InputError(f"{name} is no base64", received=inner[:20]) from None
    if isinstance(value, list):
        return _encode_pixels(name, value), False
    raise InputError(f"{name} is no image", expected=_EXPECTED, received=type(value).__name__)


def _encode_pixels(name: str, value: list[Any]) -> bytes:
    try:
        pixels = np.asarray(value)
    except ValueError:
        received = "lists of several lengths"
    else:
        received = f"{pixels.dtype} {list(pixels.shape)}"
        is_number = pixels.dtype.kind in "iuf"
        if is_number and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size:
            if pixels.min() >= 0 and pixels.max() <= 255:
                whole = pixels.astype(np.uint8)
                if np.array_equal(whole, pixels):
                    (image,) = list_inputs(whole)
                    return image.read()
            received = f"values in {pixels.min():g} to {pixels.max():g}"
    raise InputError(
        f"{name} is no image",
        expected="rows of pixels [H, W, 3], whole numbers in 0 to 255",
        received=received,
    )


class TensorFlowServingApi:
    """The endpoints below `/v1/models/`.

    Args:
        service: What they share.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def routes(self) -> list[Route]:
        """The routes, of which a colon separates the model from what is to be done."""
        model, version = "/v1/models/{model}", "/versions/{version}"
        routes = [
            Route(f"{start}/metadata", self.model_metadata)
            for start in (model, f"{model}{version}")
        ]
        routes += [Route(start, self.model_status) for start in (model, f"{model}{version}")]
        for verb, endpoint in (
            ("predict", self.predict_instances),
            ("classify", self.classify_examples),
        ):
            for start in (model, f"{model}{version}"):
                routes.append(Route(f"{start}:{verb}", endpoint, methods=["POST"]))
        # The plain path would match a model `NAME:predict` first.
        return routes[::-1]

    async def model_status(self, request: Request) -> Response:
        """Says which version is served."""
        model = self._find(request)
        status = {
            "version": str(model.version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return json_response({"model_version_status": [status]})

    async def model_metadata(self, request: Request) -> Response:
        """Says what the signatures take and return."""
        model = self._find(request)
        outputs = {
            name: _tensor(name, kind, [-1, size] if size else [-1])
            for name, (kind, size) in describe_outputs(model.tasks, model.example).items()
        }
        signatures = {
            _FILES[0]: {
                "inputs": {_FILES[1]: _tensor(_FILES[1], "DT_STRING", [-1])},
                "outputs": {**outputs, "valid": _tensor("valid", "DT_BOOL", [-1])},
            },
            _PIXELS[0]: {
                "inputs": {_PIXELS[1]: _tensor(_PIXELS[1], "DT_UINT8", [-1, -1, -1, 3])},
                "outputs": outputs,
            },
        }
        method = {"method_name": "tensorflow/serving/predict"}
        described = {name: {**parts, **method} for name, parts in signatures.items()}
        return json_response(
            {
                "model_spec": {"name": self._service.name, "version": str(model.version)},
                "metadata": {"signature_def": {"signature_def": described}},
            }
        )

    async def predict_instances(self, request: Request) -> Response:
        """Answers images with the outputs of an exported model."""
        instances, rows = await self._answer(self._find(request), request)
        if instances.columns:
            return json_response({"outputs": as_columns(rows)})
        return json_response({"predictions": rows})

    async def classify_examples(self, request: Request) -> Response:
        """Answers images with pairs of a class and its score; a broken one has none."""
        model = self._find(request)
        (task, *more) = model.tasks
        if more or task.kind != "single_label":
            raise HTTPException(
                400, "only a model of one task, of classes, classifies; use :predict"
            )
        _, rows = await self._answer(model, request)
        _, labels, scores = output_names(task)
        pairs = [zip(row[labels], row[scores], strict=True) for row in rows]
        results = [
            [] if "error" in row else [list(pair) for pair in found]
            for row, found in zip(rows, pairs, strict=True)
        ]
        return json_response({"results": results})

    def _find(self, request: Request) -> ServedModel:
        """Returns the version that a request names, or means by naming none."""
        model, name = self._service.versions.current, request.path_params["model"]
        if name != self._service.name:
            raise HTTPException(404, f"no model {name}; expected {self._service.name}")
        version = request.path_params.get("version", str(model.version))
        if version != str(model.version):
            raise HTTPException(404, f"version {version} is not served; expected {model.version}")
        return model

    async def _answer(self, model: ServedModel, request: Request) -> tuple[Instances, list[Row]]:
        loop = asyncio.get_running_loop()
        async with self._service.bodies.read(request) as body:
            decoders = self._service.workers.decoders
            try:
                instances = await loop.run_in_executor(decoders, parse_instances, body)
            except InputError as error:
                raise HTTPException(400, str(error)) from None
            names, contents = instances.names, instances.contents
            outcomes = await self._service.answer(model, names, contents)
        rows = build_rows(model.tasks, outcomes, model.example, files=instances.files)
        return instances, rows


def _tensor(name: str, kind: str, shape: list[int]) -> dict[str, Any]:
    """Returns a TensorInfo message as JSON."""
    dim = [{"size": str(size), "name": ""} for size in shape]
    return {
        "dtype": kind,
        "tensor_shape": {"dim": dim, "unknown_rank": False},
        "name": name,
    }
