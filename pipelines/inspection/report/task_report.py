"""The numbers that a report shows of one task, and the images that belong to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.calibration import compute_reliability
from pipelines.evaluation.predictions import Answers
from pipelines.inspection.report.diagrams import draw_coverage, draw_reliability
from pipelines.inspection.report.measured_run import MeasuredRun
from pipelines.inspection.report.report_data import (
    ClassRow,
    ConfusionCell,
    GroupRow,
    ImageCard,
    Spotlight,
    TaskReport,
)
from pipelines.inspection.report.spotlights import compute_spotlights
from pipelines.inspection.report.thresholds import count_by_threshold
from pipelines.inspection.report.thumbnails import Thumbnails
from pipelines.inspection.report.verdict import (
    judge_classification,
    judge_confidence,
    judge_labels,
    judge_near_duplicates,
    judge_numbers,
    judge_sets,
)
from pipelines.inspection.report.worst_groups import rank_groups
from pipelines.sources.source import Examples
from tuning.confident_learning import find_doubted_labels
from zoo.decoding.image_decoder import ImageDecoder
from zoo.printable import printable
from zoo.tasks import Task

MAX_MATRIX_CLASSES = 20
"""Classes up to which the confusion matrix is shown whole; of more, the most frequent pairs."""

MAX_PAIRS, MAX_ROWS = 40, 500
"""Confusions in the list that replaces the matrix; classes in the table."""

TOP_LOSSES, PER_CELL = 24, 60
"""Images with the largest losses; images of one cell of the matrix."""

MAX_LIT = 24
"""Images in cells that show what speaks for their classes: the worst of each cell first."""

LARGE, SMALL = 240, 128
"""The longer side of a thumbnail among the top losses, and in a cell, in pixels."""

Pair = tuple[str, str]
"""A true class and the answer."""

_SMALLEST = np.float32(1e-30)
"""Probability that a logarithm is taken of, at least."""

_ONLY_CLASSES = "Confusion matrix, largest losses and thresholds are shown of tasks with classes."


@dataclass(frozen=True)
class _Predicted:
    """Single-label predictions of a split.

    Args:
        examples: N images.
        decoder: Decodes them.
        names: The classes.
        labels: int64 [N].
        probabilities: float32 [N, C].
    """

    examples: Examples
    decoder: ImageDecoder
    names: Sequence[str]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        return self.probabilities.argmax(axis=1)

    @property
    def by_loss(self) -> npt.NDArray[np.int64]:
        """Indices, the largest loss first; of equal losses, in the order of the images."""
        true = self.probabilities[np.arange(len(self.labels)), self.labels]
        return np.argsort(true, kind="stable")

    def card(
        self, index: int, address: str, spotlights: Mapping[int, Sequence[Spotlight]]
    ) -> ImageCard:
        label, given = int(self.labels[index]), int(self.predicted[index])
        return ImageCard(
            address,
            printable(self.examples.names[index]),
            self.names[label],
            self.names[given],
            float(self.probabilities[index, given]),
            float(self.probabilities[index, label]),
            spotlights.get(index, ()),
        )


def build_task_report(
    measured: MeasuredRun, task: Task, prefix: str, thumbnails: Thumbnails
) -> TaskReport:
    """Gathers what a report shows of one task.

    Args:
        measured: The run on its images.
        task: One of its tasks.
        prefix: Of the ids of the elements.
        thumbnails: Embeds images.
    """
    metrics, kind = measured.metrics_of(task), measured.split_word
    name = "" if task.bare else printable(task.name)
    apart = metrics.get("without_near_duplicates")
    near = [] if apart is None else [judge_near_duplicates(apart)]
    if task.kind == "regression":
        return TaskReport(
            prefix,
            name,
            task.kind,
            metrics,
            [*judge_numbers(metrics, kind), *near],
            missing=[f"A number has its errors. {_ONLY_CLASSES}"],
        )
    if task.kind == "multi_label":
        rows, left_out = _sort_rows(metrics["per_label"], key=("f1",))
        groups, num_groups = _rank_groups_by_labels(measured, task)
        return TaskReport(
            prefix,
            name,
            task.kind,
            metrics,
            [*judge_labels(metrics, kind), *near],
            rows=rows,
            rows_left_out=left_out,
            groups=groups,
            num_groups=num_groups,
            missing=[f"A task of labels has a table of them. {_ONLY_CLASSES}"],
        )
    report = _report_classes(measured, task, prefix, name, thumbnails)
    return replace(report, verdict=[*report.verdict[:2], *near, *report.verdict[2:]])


def _report_classes(
    measured: MeasuredRun, task: Task, prefix: str, name: str, thumbnails: Thumbnails
) -> TaskReport:
    metrics: Mapping[str, Any] = _with_printable_names(measured.metrics_of(task))
    verdict, (_, share) = judge_classification(metrics, measured.split_word)
    names = [printable(each) for each in task.class_names]
    if sets := metrics.get("prediction_sets"):
        verdict.append(judge_sets(sets))
    rows, left_out = _sort_rows(metrics["per_class"], key=("f1", "recall"))
    parts: dict[str, Any] = {"rows": rows, "rows_left_out": left_out, "baseline": share}
    images: dict[Pair, list[ImageCard]] = {}
    if measured.examples is not None and measured.predictions is not None:
        predicted = _Predicted(
            measured.examples,
            measured.run.recipe.input.preprocessing.decoder,
            names,
            measured.examples.target(task),
            measured.predictions[task.name],
        )
        bins = compute_reliability(predicted.labels, predicted.probabilities)
        confidence = float(predicted.probabilities.max(axis=1).astype(np.float64).mean())
        verdict.append(judge_confidence(metrics["accuracy"], confidence, metrics["ece"]))
        counts = count_by_threshold(predicted.labels, predicted.probabilities)
        groups, num_groups = rank_groups(measured.examples, predicted.predicted == predicted.labels)
        parts |= {
            "groups": groups,
            "num_groups": num_groups,
            "reliability": bins,
            "reliability_chart": draw_reliability(bins),
            "thresholds": counts,
            "coverage_chart": draw_coverage(counts),
        }
        top = _embed(predicted, predicted.by_loss[:TOP_LOSSES].tolist(), thumbnails, LARGE)
        doubted = _find_doubted(predicted) if not measured.trained_on else []
        parts |= {
            "doubted": _show_doubted(predicted, doubted, thumbnails),
            "num_doubted": len(doubted),
        }
        cells = _rank_cell_images(predicted, _shown_cells(metrics["confusion_matrix"], names))
        in_cells = _embed(predicted, list(cells), thumbnails, SMALL)
        lit = list(dict.fromkeys([*top, *list(in_cells)[:MAX_LIT]]))
        spotlights = _light(measured, task, predicted, lit)
        parts["top_losses"] = [predicted.card(*shown, spotlights) for shown in top.items()]
        for index, address in in_cells.items():
            card = predicted.card(index, address, spotlights)
            images.setdefault(cells[index], []).append(card)
    matrix, pairs = _build_cells(metrics["confusion_matrix"], names, prefix, images)
    return TaskReport(
        prefix, name, task.kind, metrics, verdict, matrix=matrix, pairs=pairs, **parts
    )


def _rank_groups_by_labels(measured: MeasuredRun, task: Task) -> tuple[list[GroupRow], int]:
    """Returns the groups of images by how many have every label right, and their number."""
    if measured.examples is None or measured.predictions is None:
        return [], 0
    answers = Answers(dict(measured.predictions)).decided(measured.run.decision_rules)
    predicted = answers.sets.get(task.name, answers.predictions[task.name] >= 0.5)
    right = (predicted == measured.examples.target(task)).all(axis=1)
    return rank_groups(measured.examples, right)


def _with_printable_names(metrics: Mapping[str, Any]) -> dict[str, Any]:
    matrix = {
        printable(true): {printable(given): count for given, count in row.items()}
        for true, row in metrics.get("confusion_matrix", {}).items()
    }
    classes = {printable(name): row for name, row in metrics["per_class"].items()}
    return {**metrics, "per_class": classes, "confusion_matrix": matrix}


def _sort_rows(
    classes: Mapping[str, Mapping[str, Any]], key: Sequence[str]
) -> tuple[list[ClassRow], int]:
    """Returns classes that have images, the worst first, and how many are left out."""
    rows = [
        ClassRow(index, printable(name), values)
        for index, (name, values) in enumerate(classes.items())
        if values["support"]
    ]
    rows.sort(key=lambda row: [row.values[each] for each in key])
    return rows[:MAX_ROWS], len(classes) - len(rows[:MAX_ROWS])


def _shown_cells(matrix: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> list[Pair]:
    """Returns the pairs of true and predicted class whose images can be opened."""
    pairs = [(true, given) for true in names for given in matrix.get(true, {})]
    if len(names) <= MAX_MATRIX_CLASSES:
        return pairs
    errors = [(true, given) for true, given in pairs if true != given]
    errors.sort(key=lambda pair: -matrix[pair[0]][pair[1]])
    return errors[:MAX_PAIRS]


def _embed(
    predicted: _Predicted, indices: Sequence[int], thumbnails: Thumbnails, side: int
) -> dict[int, str]:
    return thumbnails.embed(predicted.examples, indices, predicted.decoder, side)


def _light(
    measured: MeasuredRun, task: Task, predicted: _Predicted, indices: Sequence[int]
) -> dict[int, list[Spotlight]]:
    """Returns what speaks for the answer and for the true class in some images."""
    return compute_spotlights(
        measured.run.model,
        task,
        predicted.examples,
        measured.run.recipe.input.preprocessing,
        indices,
        {"answer": predicted.predicted, "truth": predicted.labels},
    )


def _find_doubted(predicted: _Predicted) -> list[int]:
    """Returns the images whose labels are likely to be wrong, the likeliest first."""
    probabilities = np.maximum(predicted.probabilities, _SMALLEST)
    found = find_doubted_labels(predicted.labels, np.log(probabilities))
    return found.images[: found.num_errors].tolist()


def _show_doubted(
    predicted: _Predicted, doubted: Sequence[int], thumbnails: Thumbnails
) -> list[ImageCard]:
    chosen = doubted[:TOP_LOSSES]
    addresses = _embed(predicted, chosen, thumbnails, SMALL)
    return [predicted.card(*shown, {}) for shown in addresses.items()]


def _rank_cell_images(predicted: _Predicted, shown: Sequence[Pair]) -> dict[int, Pair]:
    """Returns the images of cells, the largest loss of each first; errors have precedence."""
    wanted = set(shown)
    ranks: Counter[Pair] = Counter()
    candidates: list[tuple[int, bool, int, int, Pair]] = []
    names, given = predicted.names, predicted.predicted
    for index in predicted.by_loss.tolist():
        pair = (names[predicted.labels[index]], names[given[index]])
        if pair in wanted and ranks[pair] < PER_CELL:
            # All cells get a first image before any gets a second one.
            candidates.append((ranks[pair], pair[0] == pair[1], len(candidates), index, pair))
            ranks[pair] += 1
    return {index: pair for *_, index, pair in sorted(candidates)}


def _build_cells(
    matrix: Mapping[str, Mapping[str, int]],
    names: Sequence[str],
    prefix: str,
    images: Mapping[Pair, Sequence[ImageCard]],
) -> tuple[list[list[ConfusionCell]], list[ConfusionCell]]:
    """Returns the rows of the confusion matrix, or the most frequent confusions of many classes."""
    numbers = {name: number for number, name in enumerate(names)}

    def build(true: str, given: str) -> ConfusionCell:
        row = matrix.get(true, {})
        count = row.get(given, 0)
        return ConfusionCell(
            f"{prefix}-cell-{numbers[true]}-{numbers[given]}",
            true,
            given,
            count,
            count / max(sum(row.values()), 1),
            true == given,
            images.get((true, given), ()),
        )

    if len(names) <= MAX_MATRIX_CLASSES:
        return [[build(true, given) for given in names] for true in names], []
    return [], [build(true, given) for true, given in _shown_cells(matrix, names)]
