"""Reports: what was measured, in words and small tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.cli.tables import print_grid
from tuning.hyperparameters.trial import rank_key


def in_short(figures: Mapping[str, Any]) -> list[str]:
    """Returns a split's figures, a line for each task.

    Args:
        figures: As `pipelines.evaluation.metrics.measure_tasks` returned them.
    """
    count = f"{figures['num_images']} images"
    if "tasks" not in figures:
        return [f"{_summary(figures)}, {count}"]
    return [f"{name} {_summary(one)}, {count}" for name, one in figures["tasks"].items()]


def _summary(figures: Mapping[str, Any]) -> str:
    if "mae" in figures:
        numbers = f"MAE {figures['mae']:.4g}, RMSE {figures['rmse']:.4g}"
        return f"{numbers}, R2 {_share(figures['r2'])}"
    if "exact_match" in figures:
        return (
            f"exact match {_with_interval(figures, 'exact_match')}, "
            f"mean average precision {_share(figures['mean_average_precision'])}, "
            f"macro-F1 {_share(figures['macro_f1'])}"
        )
    return (
        f"accuracy {_with_interval(figures, 'accuracy')}, "
        f"macro-F1 {figures['macro_f1']:.4f}, loss {figures['loss']:.4f}"
    )


def _share(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _with_interval(figures: Mapping[str, Any], name: str) -> str:
    low, high = figures[f"{name}_interval"]
    return f"{figures[name]:.4f} (95 % interval {low:.4f} to {high:.4f})"


def show_search(search: Mapping[str, Any], count: int = 10) -> None:
    """Prints the best trials of a search.

    Args:
        search: As search.json holds it.
        count: How many at most.
    """
    maximize = search["objective"]["direction"] == "max"
    finished = [trial for trial in search["trials"] if trial["score"] is not None]
    finished.sort(key=lambda trial: rank_key(trial["score"], trial["loss"], maximize=maximize))
    folds = any(trial["score_std"] is not None for trial in finished)
    rows = []
    for trial in finished[:count]:
        settings = (f"{path}={_value(v)}" for path, v in trial["hyperparameters"].items())
        spread = [f"{trial['score_std']:.4f}"] if folds else []
        rows.append([trial["id"], f"{trial['score']:.4f}", *spread, " ".join(settings)])
    header = ["trial", search["objective"]["name"], *(["std"] if folds else []), "settings"]
    print_grid(header, rows)


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value).strip('"')


def show_evaluation(measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints each split's figures, its classes, and the confusion matrix of few classes.

    Args:
        measured: As `pipelines.evaluation.evaluate.evaluate` returned them.
    """
    for split, figures in measured.items():
        print(f"{split}: {figures['num_images']} images")
        if "tasks" not in figures:
            _show_classes(figures)
        for name, one in figures.get("tasks", {}).items():
            print(f"  task {name}")
            show = next(show for key, show in _SHOWS.items() if key in one)
            show(one)


def _show_classes(figures: Mapping[str, Any]) -> None:
    print(f"  accuracy  {_spaced(figures, 'accuracy')}")
    if "top5" in figures:
        print(f"  top-5     {_spaced(figures, 'top5')}")
    print(f"  macro-F1  {figures['macro_f1']:.4f}")
    print(f"  loss      {figures['loss']:.4f}")
    print(f"  calibration error  {figures['ece']:.4f}")
    classes = figures["per_class"]
    _show_each("class", classes, ("precision", "recall", "f1"))
    if len(classes) <= 12:
        print("  confusion matrix, true classes as rows")
        matrix = figures["confusion_matrix"]
        numbered = [[name, *map(str, row)] for name, row in zip(classes, matrix, strict=True)]
        print_grid(["", *(name[:10] for name in classes)], numbered, indent=2)


def _show_labels(figures: Mapping[str, Any]) -> None:
    print(f"  exact match  {_spaced(figures, 'exact_match')}")
    print(f"  mean average precision  {_share(figures['mean_average_precision'])}")
    print(f"  macro-F1  {_share(figures['macro_f1'])}")
    print(f"  micro-F1  {figures['micro_f1']:.4f}")
    print(f"  loss      {figures['loss']:.4f}")
    columns = ("precision", "recall", "f1", "average_precision")
    _show_each("label", figures["per_label"], columns)


def _show_number(figures: Mapping[str, Any]) -> None:
    print(f"  mean absolute error      {figures['mae']:.4g}")
    print(f"  root mean squared error  {figures['rmse']:.4g}")
    print(f"  R2  {_share(figures['r2'])}")


def _show_each(title: str, each: Mapping[str, Mapping[str, Any]], columns: tuple[str, ...]) -> None:
    header = [title, *(column.replace("_", " ") for column in columns), "images"]
    body = [
        [name, *(_share(one[column]) for column in columns), str(one["support"])]
        for name, one in each.items()
    ]
    print_grid(header, body, indent=2)


def _spaced(figures: Mapping[str, Any], name: str) -> str:
    return _with_interval(figures, name).replace(" (", "  (", 1)


_SHOWS = {"accuracy": _show_classes, "exact_match": _show_labels, "mae": _show_number}
"""How a task's figures are shown, by a figure that only its kind has."""
