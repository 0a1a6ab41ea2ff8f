"""Directive `table-reference`: the rows of every table that `zoo list` shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

PAPER = re.compile(r"([^;()]*?),? ?(https?://[^\s;)]+)")
MARKDOWN = re.compile(r"([\\`*_|<\[\]])")
AS_CODE = {"name", "file", "defaults", "operations", "normalization"}


def link_papers(text: str) -> str:
    """Returns `Author, year, address` as links; several are separated by semicolons."""
    text = text.replace("doi:", "https://doi.org/")
    return PAPER.sub(lambda found: f"{_link(found[1].strip(), found[2])}", text)


def _link(title: str, address: str) -> str:
    return f"[{title or address.removeprefix('https://')}]({address})"


def format_cell(title: str, value: Any) -> str:
    """Returns a value as a cell of a Markdown table."""
    if value is None or value == "":
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = str(value)
    if title in AS_CODE:
        return f"`{text}`".replace("|", "\\|")
    if "http" in text:
        return link_papers(text.replace("|", "\\|"))
    return MARKDOWN.sub(r"\\\1", text)


def describe_table(name: str) -> Iterator[str]:
    """Yields the Markdown table of one of the tables."""
    from pipelines.cli.tables import TABLES

    entry = TABLES[name]
    hidden = entry.json_only - {"paper", "reference"}
    rows = entry.rows()
    titles = [
        title
        for title in rows[0]
        # `zoo list` shows what is installed on the reader's machine, not on this one.
        if title not in hidden and title != "installed" and any(row[title] for row in rows)
    ]
    # The summary comes before columns that a reader may have to scroll to.
    titles = ["name", "summary", *(t for t in titles if t not in ("name", "summary"))]
    yield "| " + " | ".join(title.replace("_", " ") for title in titles) + " |"
    yield "|---" * len(titles) + "|"
    for row in rows:
        yield "| " + " | ".join(format_cell(title, row[title]) for title in titles) + " |"
    yield ""


def describe_tables() -> Iterator[str]:
    """Yields a heading and the table of each of the tables."""
    from pipelines.cli.tables import TABLES

    for name in TABLES:
        yield f"## {name}\n\n`zoo list {name}`, `tz.{name}`\n"
        yield from describe_table(name)


class TableReference(SphinxDirective):
    """`table-reference`: one table by its name, or all of them."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Returns the parsed Markdown."""
        lines = describe_table(self.arguments[0]) if self.arguments else describe_tables()
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Any) -> dict[str, Any]:
    """Registers the directive."""
    app.add_directive("table-reference", TableReference)
    return {"parallel_read_safe": True}
