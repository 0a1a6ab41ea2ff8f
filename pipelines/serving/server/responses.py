"""Answers of a server: JSON, and errors as TensorFlow Serving has them, `{"error": …}`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from zoo.json_text import json_text
from zoo.printable import printable


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Returns one JSON value as a response.

    Args:
        value: As `zoo.json_text.json_text` takes it.
        status: The HTTP status.
        headers: Further ones.
    """
    text = f"{json_text(value)}\n"
    return Response(text, status, headers, media_type="application/json")


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Returns an error of one line as a response.

    Args:
        status: The HTTP status.
        message: What happened; what was expected and received.
        headers: Further ones.
    """
    return json_response({"error": printable(message)}, status, headers)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Returns the response to an `HTTPException`; a handler of Starlette's.

    Args:
        request: The request.
        error: The exception.

    Raises:
        Exception: It is another one.
    """
    if not isinstance(error, HTTPException):
        raise error
    path, detail = request.url.path, error.detail
    if detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"there is no {path} here"
    elif detail == HTTPStatus.METHOD_NOT_ALLOWED.phrase:
        detail = f"{path} does not answer {request.method}"
    return error_response(error.status_code, detail, error.headers)
