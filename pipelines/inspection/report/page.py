"""HTML pages from templates: everything escaped, everything inside of the file."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from pipelines.inspection.report.report_data import ComparisonReport, RunReport, TaskReport
from pipelines.inspection.report.thresholds import THRESHOLDS
from pipelines.inspection.report.verdict import count_of, percent, signed

_TEMPLATES = "pipelines.inspection.report"


def render_page(template: str, report: RunReport | ComparisonReport) -> str:
    """Renders a report.

    Names of files and classes are text wherever they stand. The page's policy allows it nothing
    but what is inside of the file: images by data address, its own style sheet and the one script
    whose hash it states.

    Args:
        template: A file in `templates/`.
        report: What the template shows.

    Returns:
        The page, without characters that UTF-8 lacks.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "count_of": count_of, "signed": signed}
    environment.globals |= {"thresholds_of": list_thresholds}
    style, script = (
        files(_TEMPLATES).joinpath("templates", name).read_text(encoding="utf-8")
        for name in ("report.css", "report.js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    page = environment.get_template(template).render(
        report=report,
        # The project's own files; the only text that is not escaped.
        style=Markup(style),
        script=Markup(script),
        script_hash=digest,
    )
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def list_thresholds(task: TaskReport) -> dict[str, Any]:
    """Returns what the slider needs of a task, as JSON values; see `ThresholdCounts`.

    Of the classes, only those in the table.
    """
    counts, chart = task.thresholds, task.coverage_chart
    if counts is None or chart is None:
        return {}
    return {
        "thresholds": list(THRESHOLDS),
        "images": counts.num_images,
        "kept": counts.kept.tolist(),
        "right": counts.right.tolist(),
        "path": [
            [float(number) for number in point.split(",")]
            for point in chart.lines[0].points.split()
        ],
        "classes": {
            str(row.index): {
                "given": counts.given[row.index].tolist(),
                "hits": counts.hits[row.index].tolist(),
                "support": int(counts.support[row.index]),
            }
            for row in task.rows
        },
    }
