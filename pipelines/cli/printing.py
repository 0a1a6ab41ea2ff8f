"""Printing: metrics, searches and tables on standard output."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.cli.tables import TABLES, find_table
from zoo.installed import installed_version
from zoo.json_text import json_text
from zoo.printable import printable

PIPE_WIDTH = 400
"""Characters a line where standard output is no terminal: a row of a table is one line."""

MAX_MATRIX_CLASSES = 12
"""Classes up to which the confusion matrix is printed, and those without images are."""


def print_json(value: Any) -> None:
    """Prints one JSON value, indented; readable as UTF-8 whatever the output's encoding."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    print(json_text(value, ascii_only=encoding != "utf8"))


def show(line: object) -> None:
    """Prints a line that may hold names from outside, which do nothing to the terminal."""
    print(printable(line))


def print_version() -> None:
    """Prints the versions of this program and of what it builds on; imports none of it."""
    names = ("tensorflow-cpu", "tensorflow", "keras", "keras-tuner", "numpy")
    print(f"zoo {installed_version('transfer-zoo') or 'of a checkout that is not installed'}")
    for name in names:
        if version := installed_version(name):
            print(f"{name} {version}")
    print(f"python {platform.python_version()}")


def print_tables(*, as_json: bool) -> None:
    """Prints the names of the tables; imports none of them."""
    if as_json:
        print_json({"tables": list(TABLES)})
        return
    for name in TABLES:
        print(f"zoo list {name}")


def print_table(name: str, *, as_json: bool) -> None:
    """Prints one table, a line a row.

    Raises:
        UnknownNameError: There is no such table.
    """
    entry = find_table(name)
    rows = entry.rows()
    if as_json:
        print_json({name: rows})
        return
    columns = [c for c in ("name", *entry.columns, "summary") if c not in entry.json_only]
    print_grid(columns, [[_format_cell(row[c]) for c in columns] for row in rows])


def _format_cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def print_grid(header: Sequence[str], rows: Sequence[Sequence[str]], indent: int = 0) -> None:
    """Prints rows of text in columns; columns of numbers are flush right.

    Args:
        header: Titles of the columns.
        rows: One text for each column.
        indent: Blanks before each line.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table as Grid

    grid = Grid(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for position, title in enumerate(header):
        numeric = all(_is_number(row[position]) for row in rows)
        grid.add_column(printable(title), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*map(printable, row))
    # Names are printed as they are: rich must not turn `:cat:` into an emoji.
    console = Console(markup=False, emoji=False, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    # Rich pads every line to the console's width.
    with console.capture() as captured:
        console.print(Padding(grid, (0, 0, 0, indent), expand=False))
    print("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


def _is_number(text: str) -> bool:
    return not text or text.replace(",", "").replace(".", "").replace("e-", "").isdecimal()


def print_run(run: Any) -> None:
    """Prints the metrics of a run on images held out, and its folder."""
    for split in ("val", "test"):
        if metrics := run.metrics.get(split):
            for line in summarize_split(metrics):
                show(f"{split}: {line}")
    show(f"run: {run.path}")


def summarize_split(metrics: Mapping[str, Any]) -> list[str]:
    """Returns the metrics of a split, a line for each task.

    Args:
        metrics: As `pipelines.evaluation.metrics.compute_metrics` returned them.
    """
    count = f"{metrics['num_images']} images"
    if "tasks" not in metrics:
        return [f"{_summarize_task(metrics)}, {count}"]
    return [f"{name} {_summarize_task(task)}, {count}" for name, task in metrics["tasks"].items()]


def _summarize_task(metrics: Mapping[str, Any]) -> str:
    if "mae" in metrics:
        errors = f"MAE {metrics['mae']:.4g}, RMSE {metrics['rmse']:.4g}"
        return f"{errors}, R2 {_format_ratio(metrics['r2'])}"
    if "exact_match" in metrics:
        return (
            f"exact match {_with_interval(metrics, 'exact_match')}, "
            f"mean average precision {_format_ratio(metrics['mean_average_precision'])}, "
            f"macro-F1 {_format_ratio(metrics['macro_f1'])}"
        )
    return (
        f"accuracy {_with_interval(metrics, 'accuracy')}{_summarize_without(metrics)}, "
        f"macro-F1 {metrics['macro_f1']:.4f}, loss {metrics['loss']:.4f}"
    )


def _summarize_without(metrics: Mapping[str, Any]) -> str:
    """Returns the accuracy without near-duplicates of training images, if there are any."""
    found = metrics.get("without_near_duplicates", {})
    if not found.get("num_near_duplicates"):
        return ""
    accuracy = "undefined"
    if found["num_images"]:
        accuracy = _with_interval(found, "accuracy")
    return f"; {accuracy} without {_count_near_duplicates(found)}"


def _count_near_duplicates(found: Mapping[str, Any]) -> str:
    count, copies = found["num_near_duplicates"], found["num_copies"]
    noun = "near-duplicate" if count == 1 else "near-duplicates"
    return f"{count} {noun} of training images" + (f", {copies} of them copies" if copies else "")


def _format_ratio(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _with_interval(metrics: Mapping[str, Any], name: str) -> str:
    low, high = metrics[f"{name}_interval"]
    return f"{metrics[name]:.4f} (95 % interval {low:.4f} to {high:.4f})"


def print_exports(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints exports in several formats, and why some failed.

    Args:
        rows: As `pipelines.serving.export_all.export_all` returned them.
    """
    names = next((list(row["metrics"]) for row in rows if row["metrics"]), [])
    cells = []
    for row in rows:
        values = [row["metrics"].get(name) for name in names]
        cells.append(
            [
                row["format"],
                row["quantize"],
                "–" if row["error"] else f"{row['bytes'] / 1e6:.2f}",
                "–" if row["error"] else f"{row['images_per_s']:.1f}",
                *("–" if value is None else f"{value:.4f}" for value in values),
                row["error"] or row["version"],
            ]
        )
    print_grid(["format", "quantize", "MB", "images/s", *names, "version"], cells)


def print_search(search: Mapping[str, Any], count: int = 10) -> None:
    """Prints the best trials of a search, best first.

    Args:
        search: The content of search.json.
        count: Number of trials, at most.
    """
    from pipelines.storage.search_results import describe_correction
    from tuning.hyperparameters.trial import rank_key

    maximize = search["objective"]["direction"] == "max"
    finished = [trial for trial in search["trials"] if trial["score"] is not None]
    finished.sort(key=lambda trial: rank_key(trial["score"], trial["loss"], maximize=maximize))
    folds = any(trial["score_std"] is not None for trial in finished)
    rows = []
    for trial in finished[:count]:
        settings = (f"{path}={_format_value(v)}" for path, v in trial["hyperparameters"].items())
        spread = [f"{trial['score_std']:.4f}"] if folds else []
        rows.append([trial["id"], f"{trial['score']:.4f}", *spread, " ".join(settings)])
    header = ["trial", search["objective"]["name"], *(["std"] if folds else []), "settings"]
    print_grid(header, rows)
    if finished:
        best, name = search["best"], search["objective"]["name"]
        over = f" (std {best['score_std']:.4f} over the folds)" if folds else ""
        luck = "; the lowest loss of those within one standard error of the best score"
        print(
            f"best: trial {best['id']}, {name} {best['score']:.4f}{over}, loss "
            f"{best['loss']:.4f}{luck if best['id'] != finished[0]['id'] else ''}"
        )
    if correction := describe_correction(search):
        print(correction)


def _format_value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value).strip('"')


def print_evaluation(measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints the metrics of each split, of its classes, and a small confusion matrix.

    Args:
        measured: Metrics by split, as `pipelines.evaluation.evaluate.evaluate` returned them.
    """
    for split, metrics in measured.items():
        show(f"{split}: {metrics['num_images']} images")
        if "tasks" not in metrics:
            _print_single_label(metrics)
        for name, task in metrics.get("tasks", {}).items():
            show(f"  task {name}")
            print_task = next(function for key, function in _PRINTERS.items() if key in task)
            print_task(task)
        if unknown := metrics.get("unknown"):
            _print_unknown(unknown)


def _print_unknown(unknown: Mapping[str, Any]) -> None:
    print(f"  unknown            {_in_column(unknown, 'refused')}")
    if "auroc" in unknown:
        count = f"  {unknown['num_foreign']} foreign images"
        print(f"{count}: unknown {_with_interval(unknown, 'foreign_refused')}")
        print(f"  AUROC of the foreign ones by unknown score  {unknown['auroc']:.4f}")


def _print_single_label(metrics: Mapping[str, Any]) -> None:
    print(f"  accuracy  {_in_column(metrics, 'accuracy')}")
    _print_without(metrics, "accuracy")
    if "top5" in metrics:
        print(f"  top-5     {_in_column(metrics, 'top5')}")
    print(f"  macro-F1  {metrics['macro_f1']:.4f}")
    print(f"  loss      {metrics['loss']:.4f}")
    _print_calibration(metrics)
    columns: tuple[str, ...] = ("precision", "recall", "f1")
    if sets := metrics.get("prediction_sets"):
        print(f"  in its set         {_in_column(sets, 'coverage')}")
        single, empty = 100 * sets["single"], 100 * sets["empty"]
        shares = f"one in {single:.1f} % of sets, none in {empty:.1f} %"
        print(f"  classes in a set   {sets['size']:.2f}  ({shares})")
        columns += ("coverage", "set_size")
    classes = metrics["per_class"]
    _print_per_class("class", classes, columns)
    if len(classes) <= MAX_MATRIX_CLASSES:
        print("  confusion matrix, true classes as rows")
        matrix = metrics["confusion_matrix"]
        numbered = [
            [true, *(str(matrix.get(true, {}).get(name, 0)) for name in classes)]
            for true in classes
        ]
        print_grid(["", *(name[:10] for name in classes)], numbered, indent=2)


def _print_without(metrics: Mapping[str, Any], name: str) -> None:
    """Prints a metric without the images that have a near-duplicate in training."""
    found = metrics.get("without_near_duplicates")
    if found is None:
        return
    if not found["num_near_duplicates"]:
        print("    no image has a near-duplicate among the training images")
        return
    if not found["num_images"]:
        value = "no image is left"
    else:
        value = f"{found['mae']:.4g}" if name == "mae" else _in_column(found, name)
    print(f"    {value}  without {_count_near_duplicates(found)}")


def _print_calibration(metrics: Mapping[str, Any]) -> None:
    print(f"  Brier score        {metrics['brier']:.4f}")
    print(f"  calibration error  {metrics['ece']:.4f}")


def _print_multi_label(metrics: Mapping[str, Any]) -> None:
    print(f"  exact match  {_in_column(metrics, 'exact_match')}")
    _print_without(metrics, "exact_match")
    print(f"  mean average precision  {_format_ratio(metrics['mean_average_precision'])}")
    print(f"  macro-F1  {_format_ratio(metrics['macro_f1'])}")
    print(f"  micro-F1  {metrics['micro_f1']:.4f}")
    print(f"  loss      {metrics['loss']:.4f}")
    _print_calibration(metrics)
    columns = ("precision", "recall", "f1", "average_precision")
    _print_per_class("label", metrics["per_label"], columns)


def _print_regression(metrics: Mapping[str, Any]) -> None:
    print(f"  mean absolute error      {metrics['mae']:.4g}")
    _print_without(metrics, "mae")
    print(f"  root mean squared error  {metrics['rmse']:.4g}")
    print(f"  R2  {_format_ratio(metrics['r2'])}")


def _print_per_class(
    title: str, per_class: Mapping[str, Mapping[str, Any]], columns: tuple[str, ...]
) -> None:
    header = [title, *(column.replace("_", " ") for column in columns), "images"]
    shown = per_class
    if len(per_class) > MAX_MATRIX_CLASSES:
        shown = {name: metrics for name, metrics in per_class.items() if metrics["support"]}
    body = [
        [name, *(_format_ratio(metrics.get(column)) for column in columns), str(metrics["support"])]
        for name, metrics in shown.items()
    ]
    print_grid(header, body, indent=2)
    if num_hidden := len(per_class) - len(shown):
        print(f"  and {num_hidden} without images")


def _in_column(metrics: Mapping[str, Any], name: str) -> str:
    return _with_interval(metrics, name).replace(" (", "  (", 1)


_PRINTERS = {
    "accuracy": _print_single_label,
    "exact_match": _print_multi_label,
    "mae": _print_regression,
}
"""Printers of a task's metrics, by a metric that only tasks of its kind have."""
