"""Config: the base class of every recipe section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from zoo.errors import RecipeError
from zoo.table import unknown_name


class Config(BaseModel):
    """A frozen pydantic model that accepts only known keys, exact types and finite numbers.

    A string is never converted to a number: `epochs = "3"` is an error.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True
    )

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> Self:
        """Builds a section from the arguments of a Python function.

        Raises:
            UnknownNameError: The section has no setting of a name.
            RecipeError: A value does not fit.
        """
        try:
            return cls.model_validate(dict(arguments))
        except ValidationError as error:
            problem = first_problem(error)
        setting = ".".join(problem.path)
        if problem.is_unknown_key:
            raise unknown_name("setting", setting, cls.model_fields)
        if problem.cause:
            raise RecipeError(str(problem.cause))
        raise RecipeError(
            f"{setting} does not fit",
            expected=problem.message,
            received=problem.received,
        )

    @model_validator(mode="before")
    @classmethod
    def _convert_lists_to_tuples(cls, values: Any) -> Any:
        # TOML and JSON only have lists; a frozen section holds tuples.
        if not isinstance(values, dict):
            return values
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


@dataclass(frozen=True)
class Problem:
    """The first problem that pydantic found in a config.

    Args:
        path: Keys down to the value; empty for the config as a whole.
        message: What was expected, without pydantic's introductions.
        received: The value, as Python writes it.
        is_unknown_key: Whether the config has no such key.
        cause: The exception a validator raised, or None where pydantic itself refused.
        messages: The message of every problem, by its full path, joined by dots.
    """

    path: tuple[str, ...]
    message: str
    received: str
    is_unknown_key: bool
    cause: Exception | None
    messages: tuple[tuple[str, str], ...]

    def expected_at(self, path: str) -> list[str]:
        """Returns the messages at a path and below; a union has one for each branch."""
        return [message for place, message in self.messages if place.startswith(path)]


def first_problem(error: ValidationError) -> Problem:
    """Reads the first problem out of pydantic's error.

    Args:
        error: What `model_validate` of a `Config` raised.
    """
    found = error.errors(include_url=False)
    first = found[0]
    messages = tuple((".".join(map(str, e["loc"])), _plain(e["msg"])) for e in found)
    return Problem(
        # A mapping's key that does not validate is reported below the part "[key]".
        path=tuple(str(part) for part in first["loc"] if part != "[key]"),
        message=_plain(first["msg"]),
        received=repr(first["input"]),
        is_unknown_key=first["type"] == "extra_forbidden",
        cause=first["ctx"]["error"] if first["type"] == "value_error" else None,
        messages=messages,
    )


def _plain(message: str) -> str:
    return message.removeprefix("Input should be ").removeprefix("Value error, ")
