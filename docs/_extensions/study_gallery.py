"""Directives `study-gallery` and `study-verdicts`: what one whole run of the studies found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from table_reference import link_papers

KEPT = Path(__file__).resolve().parents[1] / "studies"


def read_findings() -> list[dict[str, Any]]:
    """Returns what `tools/keep_studies.py` kept, in the order of STUDIES."""
    from pipelines.studies.catalog import STUDIES

    return [json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8")) for name in STUDIES]


def describe_verdicts() -> Iterator[str]:
    """Yields the Markdown table of all verdicts."""
    yield "| study | claim | verdict | seconds |\n|---|---|---|---|"
    for found in read_findings():
        name = found["study"]
        yield (
            f"| [{name}](#{name.replace('_', '-')}) | {found['claim']} | {found['verdict']} "
            f"| {found['seconds']:.0f} |"
        )
    yield ""


def describe_gallery() -> Iterator[str]:
    """Yields the Markdown of every study: its figure, its claim and the parts of its verdict."""
    for found in read_findings():
        name = found["study"]
        yield f"## {name.replace('_', ' ')}\n"
        yield f"**{found['claim']}.** {link_papers(found['source'])}\n"
        yield f"![{found['claim']}: {found['verdict']}](studies/{name}.png)\n"
        yield f"*Verdict: {found['verdict']}.*\n"
        yield "| what had to be seen | what was seen | holds |\n|---|---|---|"
        for check in found["checks"]:
            holds = "yes" if check["holds"] else "no"
            yield f"| {check['rule']} | {check['seen']} | {holds} |".replace("<", "&lt;")
        yield ""


class StudyVerdicts(SphinxDirective):
    """`study-verdicts`: the table of all verdicts."""

    def run(self) -> list[nodes.Node]:
        """Returns the parsed Markdown."""
        return self.parse_text_to_nodes("\n".join(describe_verdicts()))


class StudyGallery(SphinxDirective):
    """`study-gallery`: every study with its figure and its verdict."""

    def run(self) -> list[nodes.Node]:
        """Returns the parsed Markdown."""
        return self.parse_text_to_nodes("\n".join(describe_gallery()), allow_section_headings=True)


def setup(app: Any) -> dict[str, Any]:
    """Registers the directives."""
    app.add_directive("study-verdicts", StudyVerdicts)
    app.add_directive("study-gallery", StudyGallery)
    return {"parallel_read_safe": True}
