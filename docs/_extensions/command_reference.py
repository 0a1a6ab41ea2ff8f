"""Directive `command-reference`: the commands of `zoo`, read from typer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

VALUE_TYPE = re.compile(r" <[^>]*>")


def describe_commands() -> Iterator[str]:
    """Yields the Markdown of every command: its usage, text, arguments and options."""
    from pipelines.cli.commands import app

    group: Any = typer.main.get_command(app)
    top = typer.Context(group, info_name="zoo")
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=name, parent=top)
        usage = " ".join(["zoo", name, *map(_plain, command.collect_usage_pieces(context))])
        yield f"## zoo {name}\n\n```text\n{usage}\n```\n\n{command.help}\n"
        records = [
            record for parameter in command.params if (record := parameter.get_help_record(context))
        ]
        yield "| | |\n|---|---|"
        for names, text in records:
            # `--top <int range>`: the range stands in the text.
            yield f"| `{VALUE_TYPE.sub('', names)}` | {text} |"
        yield ""


def _plain(piece: str) -> str:
    # typer writes `{DATA}`, `{IMAGE...}...` and `[[DATA]]`.
    if piece.startswith("{"):
        return piece[1 : piece.index("}")] + ("..." if piece.endswith("...") else "")
    return piece.replace("[[", "[").replace("]]", "]")


class CommandReference(SphinxDirective):
    """`command-reference`: every command of `zoo`."""

    def run(self) -> list[nodes.Node]:
        """Returns the parsed Markdown."""
        return self.parse_text_to_nodes("\n".join(describe_commands()), allow_section_headings=True)


def setup(app: Any) -> dict[str, Any]:
    """Registers the directive."""
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True}
