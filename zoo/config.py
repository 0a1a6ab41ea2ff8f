"""Config: the base class of every recipe section."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Config(BaseModel):
    """A frozen pydantic model that accepts only known keys, exact types and finite numbers.

    A string is never converted to a number: `epochs = "3"` is an error.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _convert_lists_to_tuples(cls, values: Any) -> Any:
        # TOML and JSON only have lists; a frozen section holds tuples.
        if not isinstance(values, dict):
            return values
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
