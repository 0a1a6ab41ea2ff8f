"""Config: the frozen pydantic model that every section of a recipe is made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Config(BaseModel):
    """A frozen section of a recipe.

    Unknown keys, NaN and infinity are refused, and so is a value of another type:
    `epochs = "3"` is a slip, not a three.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, values: Any) -> Any:
        # TOML and JSON have lists alone; a frozen section keeps tuples.
        if not isinstance(values, dict):
            return values
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
