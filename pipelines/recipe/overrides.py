"""Settings: nested mappings on their way to a recipe, from a file or the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from zoo.errors import RecipeError


def read_settings(path: Path) -> dict[str, Any]:
    """Reads a recipe file without checking its keys.

    Raises:
        RecipeError: It is absent or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"{path} cannot be read: {error.strerror}", mend="give --recipe an existing TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from None


def parse_overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """Turns `PATH=VALUE` arguments into nested settings.

    VALUE is read as TOML, and as a plain string where it is none.

    Raises:
        RecipeError: An argument has no `=` or no path.

    Example:
        >>> parse_overrides(["head.dropout=0.3", "backbone.name=resnet50"])
        {'head': {'dropout': 0.3}, 'backbone': {'name': 'resnet50'}}
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not separator or not all(keys):
            raise RecipeError(
                "--set does not understand its argument",
                expected="PATH=VALUE, such as head.dropout=0.3",
                received=repr(assignment),
            )
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        for key in reversed(keys):
            value = {key: value}
        merge_settings(settings, value)
    return settings


def merge_settings(into: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Writes nested settings over others; what they do not name stays."""
    for key, value in settings.items():
        below = into.get(key)
        if isinstance(value, BaseModel):
            value = value.model_dump(exclude_unset=True)
        if isinstance(value, Mapping):
            into[key] = dict(below) if isinstance(below, Mapping) else {}
            merge_settings(into[key], value)
        else:
            into[key] = value


def other_backbone(name: str) -> dict[str, Any]:
    """Returns the settings that put another backbone into a recipe.

    Whether it is frozen, at which size it sees images and what becomes of their pixels
    was decided for the one before, and is decided anew.
    """
    return {
        "backbone": {"name": name, "frozen": "auto"},
        "input": {"size": 0, "normalization": "own"},
    }


def setting_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yields the path of every setting of a model, such as `head.dropout` of a Recipe."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from setting_paths(annotation, f"{prefix}{name}.")
        else:
            yield prefix + name
