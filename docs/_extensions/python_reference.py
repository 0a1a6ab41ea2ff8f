"""Directives `python-reference` and `error-tree`: the names of `transfer_zoo`, and its errors."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from types import FunctionType
from typing import Any

from docstring_markup import describe
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

BUILDERS = ("build_", "open_")
"""What the names of the parts of a training loop begin with; other functions are verbs."""


INHERITED = {
    "Recipe": ("from_settings", "from_toml", "to_settings", "to_toml"),
    "Run": (
        *("open", "metrics", "timing", "device", "images", "class_names", "tasks", "recipe"),
        *("head_weights", "search", "finished", "pretrained_file"),
    ),
}
"""Members of a base class that belong to the public class; the others serve the jobs."""


def public_members(name: str) -> list[str]:
    """Returns the documented members of a public class: its own, and some inherited ones."""
    import transfer_zoo

    own = vars(getattr(transfer_zoo, name))
    kinds = (classmethod, property, cached_property, FunctionType)
    members = [m for m, value in own.items() if m[0] != "_" and isinstance(value, kinds)]
    return [*members, *INHERITED.get(name, ())]


def public_names() -> dict[str, list[str]]:
    """Returns the public names of `transfer_zoo` by kind: verbs, classes, builders, tables."""
    import transfer_zoo
    from zoo.table import Table

    names: dict[str, list[str]] = {"verbs": [], "classes": [], "builders": [], "tables": []}
    for name in transfer_zoo.__all__:
        value = getattr(transfer_zoo, name)
        if isinstance(value, Table):
            names["tables"].append(name)
        elif inspect.isclass(value):
            names["classes"].append(name)
        else:
            names["builders" if name.startswith(BUILDERS) else "verbs"].append(name)
    return names


def describe_names(kind: str) -> Iterator[str]:
    """Yields reStructuredText that has autodoc describe the public names of one kind."""
    for name in public_names()[kind]:
        if kind != "classes":
            yield f".. autofunction:: transfer_zoo.{name}\n"
            continue
        members = ", ".join(public_members(name))
        yield f".. autoclass:: transfer_zoo.{name}"
        yield f"   :members: {members}\n" if members else ""


def describe_errors(error: type[BaseException] | None = None, depth: int = 0) -> Iterator[str]:
    """Yields the tree of errors as a Markdown list, the base class first."""
    from zoo.errors import ZooError

    error = error or ZooError
    own = vars(error).get("exit_status")
    status = "" if own is None else f", exit status {own}"
    yield f"{'  ' * depth}- **`{error.__name__}`**{status}: {describe(error)}"
    for below in error.__subclasses__():
        if below.__module__ == ZooError.__module__:
            yield from describe_errors(below, depth + 1)


class PythonReference(SphinxDirective):
    """`python-reference`: the public names of one kind; inside of `eval-rst`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Returns what autodoc makes of them."""
        return self.parse_text_to_nodes("\n".join(describe_names(self.arguments[0])))


class ErrorTree(SphinxDirective):
    """`error-tree`: the errors that users can act on."""

    def run(self) -> list[nodes.Node]:
        """Returns the parsed Markdown."""
        return self.parse_text_to_nodes("\n".join(describe_errors()))


def setup(app: Any) -> dict[str, Any]:
    """Registers the directives."""
    app.add_directive("python-reference", PythonReference)
    app.add_directive("error-tree", ErrorTree)
    return {"parallel_read_safe": True}
