"""Report of a run, or of two runs on the same images: one HTML file that opens offline."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from pipelines.inspection.report.comparison import compare_task, pair_runs
from pipelines.inspection.report.diagrams import draw_learning_curves
from pipelines.inspection.report.measured_run import MeasuredRun, measure_run
from pipelines.inspection.report.page import render_page
from pipelines.inspection.report.provenance import describe_provenance
from pipelines.inspection.report.report_data import ComparisonReport, RunReport
from pipelines.inspection.report.task_report import PER_CELL, build_task_report
from pipelines.inspection.report.thumbnails import Thumbnails
from pipelines.inspection.report.trials import describe_trials
from pipelines.runtime.isolation import isolated
from pipelines.runtime.output_paths import check_destination
from pipelines.storage.records import read_history
from pipelines.storage.run_folder import RunFolder
from pipelines.storage.search_results import describe_correction
from zoo.errors import InputError, RunError, ZooError
from zoo.files import write_text
from zoo.printable import printable

logger = logging.getLogger(__name__)

IMAGE_BUDGET, MAX_IMAGES = 10_000_000, 1500
"""Characters that all embedded images may take, of the 15 MB of a report; and their number."""

REPORT_FILE, COMPARISON_FILE = "report.html", "comparison.html"


@isolated()
def report(
    run: RunFolder | str | Path,
    other: RunFolder | str | Path | None = None,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
) -> Path:
    """Writes a report of a run, or of two runs on the same images.

    It is about the run's test images, else its validation images: accuracy with its interval
    beside the largest class, the confusion matrix with its images, the largest losses,
    calibration, what a threshold of confidence gains, every class, learning curves, the trials of
    a search, and where the run comes from. Of two runs, it has paired differences and the images
    that changed sides.

    One file of at most 15 MB that asks for nothing else. The same command gives the same bytes.

    Args:
        run: A finished run.
        other: Another one, to compare with it.
        data: The data set with the run's images, if it has moved, or other labeled images; None
            takes the run's own. Where these are gone, the report has what the run recorded.
        out: The file to write; None takes `report.html` in the run, or `comparison.html` in the
            first of two.

    Returns:
        The file.

    Raises:
        RunError: `run` is none, or is damaged or not finished.
        DataError: `data` cannot be read, or has classes that the model does not know.
        InputError: `out` cannot be written, or the two runs have no images in common order:
            other images, labels or classes.
    """
    first = _open(run)
    second = None if other is None else _open(other)
    name = REPORT_FILE if second is None else COMPARISON_FILE
    out = Path(out) if out else first.path / name
    if os.path.isdir(out):
        raise InputError(f"{out} is a folder", expected="a file to write", mend="name a file in it")
    check_destination(out, "--out")
    measured = measure_run(first, data)
    if second is None:
        page = render_page("run.html.j2", _report_run(measured))
    else:
        compared = _report_comparison(measured, measure_run(second, data))
        page = render_page("comparison.html.j2", compared)
    write_text(out, page)
    logger.info(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    return out


def _open(run: RunFolder | str | Path) -> RunFolder:
    return run if isinstance(run, RunFolder) else RunFolder.open(run)


def _describe_data(measured: MeasuredRun, count: int) -> str:
    return printable(f"{count:,} {measured.split_word} images of {measured.data}")


def _name_of(measured: MeasuredRun) -> str:
    path = measured.run.path
    return printable(path.name or path.resolve().name)


def _report_run(measured: MeasuredRun) -> RunReport:
    run, parts = measured.run, len(measured.tasks)
    recorded = run.path / "metrics.json" if measured.examples is None else None
    with _reading(recorded):
        tasks = [
            # Each has its share of the room.
            build_task_report(
                measured, task, f"task{n}", Thumbnails(IMAGE_BUDGET // parts, MAX_IMAGES // parts)
            )
            for n, task in enumerate(measured.tasks)
        ]
    with _reading(run.path / "search.json"):
        trials = describe_trials(run.search)
        notes = (*measured.notes, *_describe_search(measured))
    left_out = _advise_audit(measured)
    num_shown = len(frozenset().union(*(task.images for task in tasks)))
    if num_shown and measured.metrics["num_images"] > num_shown:
        left_out.append(
            f"{measured.metrics['num_images']:,} images were measured, and all figures are of all "
            f"of them. The file shows {num_shown:,}: of each cell those with the largest losses, "
            f"at most {PER_CELL}, and {MAX_IMAGES:,} thumbnails altogether."
        )
    return RunReport(
        _name_of(measured),
        _describe_data(measured, measured.metrics["num_images"]),
        [printable(note) for note in notes],
        tasks,
        draw_learning_curves(read_history(run.path / "history.csv")),
        trials,
        describe_provenance(measured),
        left_out,
    )


@contextlib.contextmanager
def _reading(file: Path | None) -> Iterator[None]:
    """Turns the errors of values that a record lacks into one that names its file, if any.

    Raises:
        RunError: The file is damaged.
    """
    try:
        yield
    except ZooError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if file is None:
            raise
        raise RunError(
            f"{file} is damaged",
            received=f"{type(error).__name__}: {str(error)[:120]}",
            mend="train the run again",
        ) from error


def _advise_audit(measured: MeasuredRun) -> list[str]:
    """Returns what the report does not look for, and what does."""
    name = measured.run.recipe.backbone.name
    counted = any("without_near_duplicates" in measured.metrics_of(t) for t in measured.tasks)
    if counted or measured.trained_on or measured.split == "all" or "." not in name:
        return []
    command = f"zoo audit {shlex.quote(measured.data)} --backbone {shlex.quote(name)}"
    return [
        "Near-duplicates of training images, which make the figures too good, are not counted: the "
        f"run keeps no hashes of these. {command} finds them."
    ]


def _describe_search(measured: MeasuredRun) -> list[str]:
    """Returns the score that a search had for the recipe, where the images say less."""
    search = measured.run.search
    best = search.get("best", {})
    if not measured.trained_on or best.get("score") is None:
        return []
    name = search.get("objective", {}).get("name", "score")
    std = best.get("score_std")
    over = "" if std is None else f" (standard deviation {std:.4f} over folds)"
    said = describe_correction(search)
    return [
        f"In the search, images held out gave this recipe a {name} of {best['score']:.4f}{over}"
        f"{f'; {said}' if said else ''}."
    ]


def _report_comparison(first: MeasuredRun, second: MeasuredRun) -> ComparisonReport:
    pairing = pair_runs(first, second)
    tasks = [task for task in first.tasks if task.kind == "single_label"]
    if not tasks:
        raise InputError("the runs predict no classes", expected="a task of the kind single_label")
    names = (_name_of(first), _name_of(second))
    if names[0] == names[1]:
        names = (printable(first.run.path), printable(second.run.path))
    thumbnails = Thumbnails(IMAGE_BUDGET, MAX_IMAGES)
    differing = second.run.recipe.differences(first.run.recipe)
    notes = dict.fromkeys([*first.notes, *second.notes, *filter(None, [pairing.note])])
    if left_out := [task.name for task in first.tasks if task.kind != "single_label"]:
        notes[f"Only tasks of classes are compared, and not {', '.join(left_out)}."] = None
    return ComparisonReport(
        names,
        _describe_data(first, pairing.rows.shape[1]),
        [printable(note) for note in notes],
        [
            compare_task(pairing, task, f"task{number}", names, thumbnails)
            for number, task in enumerate(tasks)
        ],
        [
            (printable(path), printable(was), printable(now))
            for path, (now, was) in differing.items()
        ],
        [describe_provenance(first), describe_provenance(second)],
    )
