"""Docstrings: documented parameters, fields, defaults and errors are those of the code."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Iterator
from itertools import takewhile
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from zoo import errors

PACKAGES = ("transfer_zoo", "pipelines", "tuning", "zoo")
SCRIPTS = {"zoo.export.gate"}
"""Modules that start their work when they are imported."""

SECTION = re.compile(r"^(\w+):\s*$", re.MULTILINE)
ENTRY = re.compile(r"^\*{0,2}(\w+):\s*(.*)$")
DEFAULT = re.compile(r"\b[Dd]efault(?:s to|s? is|:)? `?([-+.\w]*\w)`?")
NO_VALUES = {"it", "that", "those", "the", "a", "where", "its", "this", "for"}
"""Words that may follow `default` without being its value."""


class Documented(NamedTuple):
    """A public function, method or class with its full name."""

    name: str
    value: Any


def modules() -> Iterator[ModuleType]:
    for package in map(importlib.import_module, PACKAGES):
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name not in SCRIPTS:
                yield importlib.import_module(found.name)


def public() -> Iterator[Documented]:
    for module in modules():
        for name, value in vars(module).items():
            # An imported name belongs to the module that defines it.
            if name.startswith("_") or getattr(value, "__module__", "") != module.__name__:
                continue
            if inspect.isclass(value):
                yield Documented(f"{module.__name__}.{name}", value)
                for method, inside in vars(value).items():
                    function = inside.__func__ if isinstance(inside, classmethod) else inside
                    if inspect.isfunction(function) and not method.startswith("_"):
                        yield Documented(f"{module.__name__}.{name}.{method}", function)
            elif inspect.isfunction(value):
                yield Documented(f"{module.__name__}.{name}", inspect.unwrap(value))


def entries_of(docstring: str | None, section: str) -> dict[str, str]:
    """Returns the entries of a section of a Google docstring, such as `Args`, by name."""
    text = inspect.cleandoc(docstring or "")
    parts = SECTION.split(text)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    entries: dict[str, str] = {}
    last = ""
    # A line that is not indented, such as `Reference: …`, ends the section.
    indented = takewhile(lambda line: line[:1] in ("", " "), sections.get(section, "").splitlines())
    for line in inspect.cleandoc("\n" + "\n".join(indented)).splitlines():
        if entry := ENTRY.match(line):
            last = entry[1]
            entries[last] = entry[2]
        elif last:
            entries[last] += " " + line.strip()
    return entries


def documented(value: Any) -> dict[str, str]:
    """Returns the documented parameters of a function, or of a class and its bases."""
    if not inspect.isclass(value):
        return entries_of(value.__doc__, "Args")
    entries: dict[str, str] = {}
    for base in reversed(value.__mro__):
        if base.__module__.split(".")[0] in PACKAGES:
            entries |= entries_of(base.__dict__.get("__doc__"), "Args")
    return entries


def parameters(value: Any) -> dict[str, Any]:
    """Returns the parameters of a function or a constructor, with their defaults."""
    missing = inspect.Parameter.empty
    if inspect.isclass(value) and issubclass(value, BaseModel):
        fields = value.model_fields.items()
        return {name: missing if f.is_required() else f.default for name, f in fields}
    if dataclasses.is_dataclass(value):
        found = {}
        for field in dataclasses.fields(value):
            no_default = field.default is dataclasses.MISSING
            found[field.name] = missing if no_default else field.default
        return found
    if inspect.isclass(value):
        # Constructors of Python's own, such as a protocol's, have no parameters to document.
        if getattr(value.__init__, "__module__", "").split(".")[0] not in PACKAGES:
            return {}
        value = value.__init__
    skipped = {"self", "cls"}
    signature = inspect.signature(value).parameters.values()
    return {p.name: p.default for p in signature if p.name not in skipped}


def has_help(function: Any) -> bool:
    """Returns whether every parameter has the help text that `--help` prints."""
    hints = typing.get_type_hints(function, include_extras=True)
    return all(
        any(getattr(extra, "help", None) for extra in getattr(hints[name], "__metadata__", ()))
        for name in parameters(function)
    )


def stated_default(text: str) -> Any:
    """Returns the default value that a description states, or None."""
    found = DEFAULT.search(text)
    if found is None or found[1].lower() in NO_VALUES:
        return None
    try:
        return ast.literal_eval(found[1])
    except (ValueError, SyntaxError):
        return found[1]


EVERYTHING = list(public())
WITH_PARAMETERS = [found for found in EVERYTHING if parameters(found.value)]


def ids(found: Documented) -> str:
    return found.name


def test_walk_finds_functions_methods_and_classes() -> None:
    names = {found.name for found in EVERYTHING}
    assert {
        "zoo.preprocessing.decode",
        "zoo.preprocessing.Preprocessing.compute_box",
        "zoo.errors.ZooError",
        "tuning.early_stopping.EarlyStopping",
        "pipelines.recipe.recipe.Recipe.from_preset",
        "pipelines.input_pipeline.datasets.build_train_stream",
        "pipelines.sources.source.Examples",
    } <= names


def test_everything_public_has_a_docstring() -> None:
    bare = [
        name for name, value in EVERYTHING if not (value.__dict__.get("__doc__") or value.__doc__)
    ]
    assert not bare


@pytest.mark.parametrize("found", WITH_PARAMETERS, ids=ids)
def test_documented_parameters_are_those_of_the_signature(found: Documented) -> None:
    listed, taken = set(documented(found.value)), set(parameters(found.value))
    if (
        not listed
        and not inspect.isclass(found.value)
        and (len(taken) < 3 or has_help(found.value))
    ):
        # The first sentence may suffice for one or two parameters.
        return
    assert listed == taken, f"only documented: {listed - taken}; missing: {taken - listed}"


@pytest.mark.parametrize("found", WITH_PARAMETERS, ids=ids)
def test_documented_defaults_are_those_of_the_signature(found: Documented) -> None:
    defaults = parameters(found.value)
    for name, text in documented(found.value).items():
        stated = stated_default(text)
        if stated is not None and name in defaults:
            assert stated == defaults[name], f"{name}: {text}"


def test_documented_errors_exist() -> None:
    unknown = []
    for name, value in EVERYTHING:
        known = vars(builtins) | vars(errors) | vars(inspect.getmodule(value))
        for error in entries_of(value.__doc__, "Raises"):
            if error not in known:
                unknown.append(f"{name}: {error}")
    assert not unknown


def test_parser_reads_an_example_of_every_form() -> None:
    def mix_up(images: Any, alpha: float = 0.2, *rest: Any, mode: str = "crop") -> None:
        """Blends each example with a partner.

        Args:
            images: float32 [B, H, W, C]; the shape
                stays: as it is.
            alpha: > 0, default 0.2.
            *rest: More, defaults to `pad`.
            mode: By default the image's own.

        Raises:
            ValueError: `alpha` is not positive.

        Reference: Zhang et al., 2018,
        https://arxiv.org/abs/1710.09412
        """

    assert list(entries_of(mix_up.__doc__, "Raises")) == ["ValueError"]
    entries = entries_of(mix_up.__doc__, "Args")
    assert list(entries) == list(parameters(mix_up)) == ["images", "alpha", "rest", "mode"]
    assert entries["images"].endswith("the shape stays: as it is.")
    assert [stated_default(text) for text in entries.values()] == [None, 0.2, "pad", None]
