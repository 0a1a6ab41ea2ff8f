"""Google docstrings for the reference: their sections, and examples as code blocks."""

from __future__ import annotations

import inspect
import re
from itertools import takewhile
from typing import Any

SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Example|Reference):", re.MULTILINE)
ENTRY = re.compile(r"^(\w+):\s*(.*)$")


def describe(documented: Any) -> str:
    """Returns the text of a docstring before its first section."""
    return SECTION.split(inspect.cleandoc(documented.__doc__ or ""))[0].strip()


def describe_arguments(cls: type) -> dict[str, str]:
    """Returns the text of each entry of `Args:`, base classes included, by name."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        text = inspect.cleandoc(base.__dict__.get("__doc__") or "")
        _, _, after = text.partition("\nArgs:\n")
        lines = takewhile(lambda line: line[:1] in ("", " "), after.splitlines())
        name = ""
        for line in inspect.cleandoc("\n" + "\n".join(lines)).splitlines():
            if entry := ENTRY.match(line):
                name, texts[entry[1]] = entry[1], entry[2]
            elif name:
                texts[name] += " " + line.strip()
    return texts


def mark_examples_as_code(
    app: Any, kind: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Turns an `Example:` without prompts, and code indented below text, into literal blocks."""
    for number, line in enumerate(lines[:-1]):
        following = lines[number + 1]
        if line == "Example:" and not following.lstrip().startswith(">>>"):
            lines[number : number + 1] = ["Example::", ""]
        elif line.endswith(":") and not SECTION.match(line) and not following.strip():
            after = lines[number + 2] if number + 2 < len(lines) else ""
            if after.startswith("    "):
                lines[number] = line + ":"


def setup(app: Any) -> dict[str, Any]:
    """Registers the extension."""
    # Before napoleon, which reads the sections.
    app.connect("autodoc-process-docstring", mark_examples_as_code, priority=400)
    return {"parallel_read_safe": True}
