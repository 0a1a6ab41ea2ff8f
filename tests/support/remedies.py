"""Settings and commands that messages propose, found in the messages and in the code."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROPOSAL = re.compile(
    r"--[a-z][a-z-]+|\b(data|tasks|input|features|train|optimizer|stopping|schedule)\.[a-z_]+"
    r"|`zoo [a-z]+|\bzoo [a-z]+ |\b(ZOO|TFDS)_[A-Z_]+"
)
"""What a text contains that proposes a setting, an option, a command or a variable."""


def proposed_settings(message: str) -> list[list[str]]:
    r"""Returns the alternatives that a message proposes, each the values of `--set` together.

    Example:
        >>> proposed_settings("x; --set data.a=1 --set 'data.b=[\"c d\"]', or --set data.e=2")
        [['data.a=1', 'data.b=["c d"]'], ['data.e=2']]
    """
    groups: list[list[str]] = []
    end = -1
    for match in re.finditer(r"--set ", message):
        lexer = shlex.shlex(message[match.end() :], posix=True, punctuation_chars=False)
        lexer.whitespace_split = True
        lexer.commenters = ""
        token = lexer.get_token() or ""
        if match.start() > end + 1 or not groups:
            groups.append([])
        groups[-1].append(token.rstrip(",;)"))
        end = match.end() + lexer.instream.tell() - 1
    return groups


@dataclass(frozen=True)
class Site:
    """A text in the code that proposes something.

    Args:
        file: Path of the module.
        line: Its line.
        text: The text, with `{}` for what is filled in.
    """

    file: str
    line: int
    text: str


def find_sites(folder: Path) -> Iterator[Site]:
    """Yields the texts below a folder that propose something; docstrings and help are none."""
    for file in sorted(folder.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        passed_over: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                passed_over.add(id(node.value))
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in (
                "Option",
                "Argument",
                "add_argument",
            ):
                passed_over |= {id(part) for part in ast.walk(node)}
            elif isinstance(node, ast.JoinedStr):
                passed_over |= {id(part) for part in ast.walk(node) if part is not node}
        for node in ast.walk(tree):
            if id(node) in passed_over:
                continue
            text = _read(node)
            if text and PROPOSAL.search(text):
                yield Site(str(file), getattr(node, "lineno", 0), text)


def _read(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        parts = (v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
        return "".join(map(str, parts))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
