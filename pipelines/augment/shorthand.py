"""Shorthand: a policy as one line, `flip_lr(0.5)|rotate(15)|erase(0.25)`.

An operation's main setting comes first and without its name, the others with theirs,
`crop(0.6, aspect=1.2)`; what is left out has its default. `choose(1, rotate(30), shear)`
chooses among the operations in it. The name of a preset stands for its operations.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.augment.base import Operation
from pipelines.augment.operations import AUGMENTATIONS, Choose
from zoo.errors import RecipeError
from zoo.table import unknown_name


def parse_policy(text: str, presets: Mapping[str, str] | None = None) -> tuple[dict[str, Any], ...]:
    """Reads the shorthand into the settings of each operation.

    Args:
        text: Such as `flip_lr(0.5)|rotate(15)`; empty is no operation at all.
        presets: Names that stand for the shorthand they map to.

    Raises:
        RecipeError: It is not of this form.
        UnknownNameError: An operation that does not exist.

    Example:
        >>> parse_policy("flip_lr|rotate(15, p=0.5)")
        ({'name': 'flip_lr'}, {'name': 'rotate', 'degrees': 15, 'p': 0.5})
    """
    if not text.strip():
        return ()
    try:
        # Every policy is an expression of Python's, of names, calls and literals alone.
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise _misread(text) from None
    return tuple(_settings(tree, text, presets or {}))


def print_policy(operations: Iterable[Operation]) -> str:
    """Writes operations as the shorthand that reads as the same.

    Example:
        >>> from pipelines.augment.geometry import FlipLeftRight, Rotate
        >>> print_policy([FlipLeftRight(), Rotate(degrees=15, p=0.5)])
        'flip_lr(0.5)|rotate(15, p=0.5)'
    """
    return "|".join(map(_print, operations))


def print_defaults(operation: type[Operation]) -> str:
    """Writes every setting of an operation with its default, as it is spelled out.

    Example:
        >>> from pipelines.augment.geometry import Crop
        >>> print_defaults(Crop)
        'crop(0.08, aspect=1.3333, p=1)'
    """
    defaults = {
        name: _print_value(field.default)
        for name, field in operation.model_fields.items()
        if name != "name" and not field.is_required()
    }
    main = defaults.pop(operation.main)
    last = {"p": defaults.pop("p")} if "p" in defaults else {}
    named = [f"{name}={value}" for name, value in {**defaults, **last}.items()]
    members = [] if operation is not Choose else ["…"]
    return f"{operation.model_fields['name'].default}({', '.join([main, *members, *named])})"


def _settings(node: ast.expr, text: str, presets: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _settings(node.left, text, presets)
        yield from _settings(node.right, text, presets)
        return
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name):
        raise _misread(text)
    name = call.func.id
    if name in presets:
        if node is call:
            raise _misread(text, f"{name} without brackets, since a preset has no settings")
        yield from parse_policy(presets[name], presets)
        return
    if name not in AUGMENTATIONS:
        raise unknown_name("augmentation", name, [*AUGMENTATIONS, *presets])
    settings: dict[str, Any] = {"name": name}
    if call.args:
        settings[AUGMENTATIONS[name].operation.main] = _literal(call.args[0], text)
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in settings:
            raise _misread(text)
        settings[keyword.arg] = _literal(keyword.value, text)
    members = call.args[1:]
    if name == Choose.model_fields["name"].default:
        settings["operations"] = [s for m in members for s in _settings(m, text, presets)]
    elif members:
        raise _misread(text, f"every setting of {name} after the first by name, as in p=0.5")
    yield settings


def _literal(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise _misread(text) from None


_FORM = "operations joined by |, such as flip_lr(0.5)|rotate(15, p=0.5)"


def _misread(text: str, expected: str = _FORM) -> RecipeError:
    return RecipeError(
        "a policy cannot be read",
        expected=expected,
        received=repr(text),
        mend="`zoo list augmentations` shows them",
    )


def _print(operation: Operation) -> str:
    arguments = [_print_value(getattr(operation, operation.main))]
    members: Sequence[Operation] = getattr(operation, "operations", ())
    arguments += map(_print, members)
    for name, field in type(operation).model_fields.items():
        value = getattr(operation, name)
        if name not in ("name", "operations", operation.main) and value != field.default:
            arguments.append(f"{name}={_print_value(value)}")
    return f"{operation.name}({', '.join(arguments)})"


def _print_value(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
