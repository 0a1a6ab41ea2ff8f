"""Directive `recipe-reference`: every setting of a recipe, read from its pydantic models."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from docstring_markup import describe, describe_arguments
from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.util.docutils import SphinxDirective

LIMITS = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
NAMES = {bool: "true or false", int: "integer", float: "number", str: "string"}
PLURALS = {"integer": "integers", "string": "strings", "number": "numbers"}


def format_type(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    """Returns a type as a reader of TOML knows it, with its range.

    Args:
        annotation: The type of a setting.
        metadata: Its constraints, as pydantic keeps them.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return format_type(arguments[0], (*annotation.__metadata__, *metadata))
    limits = format_limits(metadata)
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin in (typing.Union, types.UnionType):
        parts = [format_type(part) for part in arguments if part is not types.NoneType]
        return " or ".join(parts) + limits
    if origin is tuple and "Operation" in str(arguments[0]):
        return "name of a policy, policy in the shorthand, or list of tables"
    if origin is tuple:
        item = format_type(arguments[0])
        name, comma, item_limits = item.partition(",")
        return f"list of {PLURALS.get(name, name)}{comma}{item_limits}{limits}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return NAMES.get(annotation, str(getattr(annotation, "__name__", annotation))) + limits


def format_limits(metadata: tuple[Any, ...]) -> str:
    """Returns constraints such as `, ≥ 0 and < 1`; empty where there are none."""
    flat: list[Any] = []
    for entry in metadata:
        flat += entry.metadata if isinstance(entry, FieldInfo) else [entry]
    limits = [
        f"{sign} {format_number(getattr(entry, attribute))}"
        for kind, (sign, attribute) in LIMITS.items()
        for entry in flat
        if isinstance(entry, kind)
    ]
    if any(isinstance(entry, MinLen) for entry in flat):
        limits.append("at least one")
    return f", {' and '.join(limits)}" if limits else ""


def format_number(value: float) -> str:
    """Returns a number with all its digits, as few as it needs."""
    return str(value) if isinstance(value, int) else f"{value:g}"


def format_default(field: FieldInfo) -> str:
    """Returns the default of a setting as TOML has it."""
    if field.is_required():
        return "none: has to be given"
    return format_value(field.default)


def format_value(value: Any) -> str:
    """Returns a value as TOML has it, between backticks."""
    if value is None:
        return "left out"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, tuple):
        if value and isinstance(value[0], BaseModel):
            from pipelines.augment.shorthand import format_policy

            return f'`"{format_policy(value)}"`'
        return f"`[{', '.join(str(item) for item in value)}]`"
    if isinstance(value, BaseModel):
        settings = (f"{name} = {format_value(item).strip('`')}" for name, item in value)
        return f"`{{{', '.join(settings)}}}`"
    return f"`{format_number(value)}`"


def describe_settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yields the Markdown of each setting of a section.

    Args:
        model: The section.
        prefix: What precedes a setting's name, such as `head.`.
    """
    texts = describe_arguments(model)
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from describe_settings(field.annotation, f"{prefix}{name}.")
            continue
        yield (
            f"````{{confval}} {prefix}{name}\n"
            f":type: {format_type(field.annotation, tuple(field.metadata))}\n"
            f":default: {format_default(field)}\n\n"
            f"{texts[name]}\n````\n"
        )


def describe_recipe() -> Iterator[str]:
    """Yields the Markdown of every section of a recipe, a heading each."""
    from pipelines.recipe.settings import RecipeSettings
    from pipelines.recipe.task_sections import TaskConfig

    texts = describe_arguments(RecipeSettings)
    for name, field in RecipeSettings.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield f"## [{name}]\n\n{describe(annotation)}\n"
            yield from describe_settings(annotation, f"{name}.")
        elif typing.get_origin(annotation) is Mapping:
            yield f"## [{name}.NAME]\n\n{texts[name]}\n\n{describe(TaskConfig)}\n"
            yield from describe_settings(TaskConfig, f"{name}.NAME.")
        else:
            # What stands before the first heading would end up behind the last section.
            yield "## General\n"
            yield (
                f"````{{confval}} {name}\n"
                f":type: {format_type(annotation, tuple(field.metadata))}\n"
                f":default: {format_default(field)}\n\n{texts[name]}\n````\n"
            )


def describe_presets() -> Iterator[str]:
    """Yields the Markdown of the presets: each as the TOML it stands for."""
    import tomlkit

    from pipelines.recipe.presets import PRESETS

    for name, settings in PRESETS.items():
        toml = tomlkit.dumps(dict(settings)).strip() or "# every setting at its default"
        yield f"### {name}\n\n```toml\n{toml}\n```\n"


def describe_operations() -> Iterator[str]:
    """Yields the Markdown of the augmentation operations: a heading and the settings of each."""
    from table_reference import link_papers

    from pipelines.augment.operations import AUGMENTATIONS

    for row in AUGMENTATIONS.values():
        yield f"## {row.name}\n\n{describe(row.operation)}\n\n*{row.stage}*. "
        yield f"{link_papers(row.reference)}\n" if row.reference else "\n"
        texts = describe_arguments(row.operation)
        yield "| setting | type | default | |\n|---|---|---|---|"
        for name, field in row.operation.model_fields.items():
            if name != "name":
                kind = format_type(field.annotation, tuple(field.metadata))
                cells = [f"`{name}`", kind, format_default(field), texts[name]]
                yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""


class RecipeReference(SphinxDirective):
    """`recipe-reference`: the sections, the presets or the operations, by its argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Returns the parsed Markdown."""
        parts = {
            "settings": describe_recipe,
            "presets": describe_presets,
            "operations": describe_operations,
        }[self.arguments[0]]
        return self.parse_text_to_nodes("\n".join(parts()), allow_section_headings=True)


def setup(app: Any) -> dict[str, Any]:
    """Registers the directive."""
    app.add_directive("recipe-reference", RecipeReference)
    return {"parallel_read_safe": True}
