"""Policy shorthand: a policy written in one line, `flip_lr(0.5)|rotate(15)|erase(0.25)`.

An operation's main setting comes first, without its name; the others follow by name, as
in `crop(0.6, aspect=1.2)`. Omitted settings have their defaults.
`choose(1, rotate(30), shear)` applies one of the operations it lists. A preset's name
stands for the preset's operations.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.augment.base import Operation
from pipelines.augment.operations import AUGMENTATIONS, Choose
from zoo.errors import RecipeError
from zoo.table import unknown_name

_MAX_LENGTH = 10_000
"""Characters of a policy, at most."""


def parse_policy(text: str, presets: Mapping[str, str] | None = None) -> tuple[dict[str, Any], ...]:
    """Parses the shorthand into the settings of each operation.

    Args:
        text: The policy, such as `flip_lr(0.5)|rotate(15)`; empty means no operation.
        presets: Shorthand by preset name.

    Raises:
        RecipeError: The text is not valid shorthand.
        UnknownNameError: An operation does not exist.

    Example:
        >>> parse_policy("flip_lr|rotate(15, p=0.5)")
        ({'name': 'flip_lr'}, {'name': 'rotate', 'degrees': 15, 'p': 0.5})
    """
    if not text.strip():
        return ()
    if len(text) > _MAX_LENGTH:
        raise _parse_error(text, f"{_MAX_LENGTH} characters or fewer")
    try:
        # A policy is a Python expression made of names, calls, literals and `|` alone.
        tree = ast.parse(text.strip(), mode="eval").body
        return tuple(_parse_node(tree, text, presets or {}))
    except RecipeError:
        raise
    # Python's parser raises one of the latter three for what is nested too deeply.
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise _parse_error(text) from None


def format_policy(operations: Iterable[Operation]) -> str:
    """Formats operations as shorthand that parses back to equal operations.

    Example:
        >>> from pipelines.augment.geometry import FlipLeftRight, Rotate
        >>> format_policy([FlipLeftRight(), Rotate(degrees=15, p=0.5)])
        'flip_lr(0.5)|rotate(15, p=0.5)'
    """
    return "|".join(map(_format_operation, operations))


def format_defaults(operation: type[Operation]) -> str:
    """Formats an operation with all its settings at their defaults.

    Example:
        >>> from pipelines.augment.crops import Crop
        >>> format_defaults(Crop)
        'crop(0.08, aspect=1.3333, p=1)'
    """
    defaults = {
        name: _format_value(field.default)
        for name, field in operation.model_fields.items()
        if name != "name" and not field.is_required()
    }
    main = defaults.pop(operation.main_setting)
    last = {"p": defaults.pop("p")} if "p" in defaults else {}
    named = [f"{name}={value}" for name, value in {**defaults, **last}.items()]
    members = [] if operation is not Choose else ["…"]
    return f"{operation.model_fields['name'].default}({', '.join([main, *members, *named])})"


def _parse_node(node: ast.expr, text: str, presets: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _parse_node(node.left, text, presets)
        yield from _parse_node(node.right, text, presets)
        return
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name):
        raise _parse_error(text)
    name = call.func.id
    if name in presets:
        if node is call:
            raise _parse_error(text, f"{name} without brackets, since a preset has no settings")
        yield from parse_policy(presets[name], presets)
        return
    if name not in AUGMENTATIONS:
        raise unknown_name("augmentation", name, [*AUGMENTATIONS, *presets])
    settings: dict[str, Any] = {"name": name}
    if call.args:
        settings[AUGMENTATIONS[name].operation.main_setting] = _parse_literal(call.args[0], text)
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in settings:
            raise _parse_error(text)
        settings[keyword.arg] = _parse_literal(keyword.value, text)
    members = call.args[1:]
    if name == Choose.model_fields["name"].default:
        settings["operations"] = [s for m in members for s in _parse_node(m, text, presets)]
    elif members:
        raise _parse_error(text, f"all settings of {name} after the first by name, as in p=0.5")
    yield settings


def _parse_literal(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise _parse_error(text) from None


_GRAMMAR = "operations joined by |, such as flip_lr(0.5)|rotate(15, p=0.5)"


def _parse_error(text: str, expected: str = _GRAMMAR) -> RecipeError:
    return RecipeError(
        "the policy is not valid shorthand",
        expected=expected,
        received=repr(text[:200]),
        mend="see `zoo list augmentations`",
    )


def _format_operation(operation: Operation) -> str:
    arguments = [_format_value(getattr(operation, operation.main_setting))]
    members: Sequence[Operation] = getattr(operation, "operations", ())
    arguments += map(_format_operation, members)
    for name, field in type(operation).model_fields.items():
        value = getattr(operation, name)
        if name not in ("name", "operations", operation.main_setting) and value != field.default:
            arguments.append(f"{name}={_format_value(value)}")
    return f"{operation.name}({', '.join(arguments)})"


def _format_value(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
