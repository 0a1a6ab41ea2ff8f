"""Overrides: nested settings from recipe files, `--set` and Python, merged layer by layer."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from zoo.errors import RecipeError
from zoo.reading import MAX_DEPTH, parse_toml, read_text

_MAX_BYTES = 2**20
"""Bytes of a recipe or of a search space, at most."""


def read_settings(path: Path) -> dict[str, Any]:
    """Reads a recipe file without checking its keys.

    Raises:
        RecipeError: The file is absent or not TOML.
    """
    try:
        return parse_toml(read_text(path, max_bytes=_MAX_BYTES))
    except OSError as error:
        raise RecipeError(
            f"{path} cannot be read: {error.strerror}", mend="give --recipe an existing TOML file"
        ) from None
    except ValueError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from None


def parse_overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """Parses `PATH=VALUE` arguments into nested settings.

    VALUE is TOML; what is not valid TOML is a plain string.

    Raises:
        RecipeError: An argument has no `=` or no path, or is nested too deeply.

    Example:
        >>> parse_overrides(["head.dropout=0.3", "backbone.name=resnet50"])
        {'head': {'dropout': 0.3}, 'backbone': {'name': 'resnet50'}}
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not separator or not all(keys) or len(keys) > MAX_DEPTH or len(text) > _MAX_BYTES:
            raise RecipeError(
                "--set does not understand its argument",
                expected="PATH=VALUE, such as head.dropout=0.3",
                received=repr(assignment[:200]),
            )
        try:
            value = parse_toml(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        except ValueError as error:
            raise RecipeError(f"--set {path} does not fit: {error}") from None
        merge_settings(settings, nested(".".join(keys), value))
    return settings


def nested(path: str, value: Any) -> dict[str, Any]:
    """Returns a setting as nested mappings.

    Example:
        >>> nested("head.dropout", 0.3)
        {'head': {'dropout': 0.3}}
    """
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def merge_settings(into: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Merges nested settings into others, in place; keys not named stay as they are."""
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

    Freezing, truncation, levels, input size and normalization belonged to the former backbone and
    return to their defaults.

    Args:
        name: The new backbone.
    """
    return {
        "backbone": {"name": name, "frozen": "auto", "truncate_blocks": 0, "levels": "auto"},
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
