"""Groups that a model does worst on: their order, their figures, and the table of the report."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from pipelines.inspection.report.measured_run import MeasuredRun, measure_run
from pipelines.inspection.report.report import report
from pipelines.inspection.report.task_report import build_task_report
from pipelines.inspection.report.thumbnails import Thumbnails
from pipelines.inspection.report.worst_groups import MAX_GROUPS, rank_groups
from pipelines.serving.run import Run
from pipelines.sources.source import Examples
from tests.support.tiny import CLASSES, write_images
from zoo.tasks import Task

HOSTILE = "<b>ward & 1</b>"


def _examples(groups: list[int]) -> Examples:
    names = tuple(f"group {number}" for number in range(max(groups) + 1))
    labels = np.zeros(len(groups), np.int64)
    return Examples(
        [str(i) for i in range(len(groups))], labels, groups=np.array(groups), group_names=names
    )


def test_groups_that_are_most_surely_bad_come_first() -> None:
    # Of group 0 one of two is wrong, of 1 twenty of fifty, of 2 none of ten; 3 is one image.
    groups = [0] * 2 + [1] * 50 + [2] * 10 + [3] + [-1] * 5
    right = np.array([True, False, *[True] * 30, *[False] * 20, *[True] * 10, False, *[False] * 5])
    rows, count = rank_groups(_examples(groups), right)
    assert [(row.name, row.count) for row in rows] == [
        ("group 1", 50),
        ("group 0", 2),
        ("group 2", 10),
    ]
    assert count == 3
    for row, hits in zip(rows, (30, 1, 10), strict=True):
        assert row.accuracy == hits / row.count
        interval = binomtest(hits, row.count).proportion_ci(0.95, "wilson")
        assert row.interval == pytest.approx((interval.low, interval.high))


def test_only_the_worst_of_many_groups_are_shown() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 400)
    rows, count = rank_groups(_examples(groups.tolist()), rng.random(400) > 0.3)
    assert (len(rows), count) == (MAX_GROUPS, 40)
    bounds = [row.interval[1] for row in rows]
    assert bounds == sorted(bounds)


def test_images_without_groups_have_no_table() -> None:
    examples = Examples(("a", "b"), np.zeros(2, np.int64))
    assert rank_groups(examples, np.ones(2, bool)) == ([], 0)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New images of two wards, those of the second with wrong labels; and some of none."""
    folder = write_images(tmp_path_factory.mktemp("wards") / "images", 5, seed=4)
    rows = []
    for label, name in enumerate(CLASSES):
        for number, ward in enumerate([HOSTILE, HOSTILE, "ward 2", "ward 2", ""]):
            given = CLASSES[(label + (ward == "ward 2")) % 3]
            rows.append([f"{name}/{number:03d}.jpg", given, ward])
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "group"], *rows])
    return folder / "table.csv"


@pytest.fixture(scope="module")
def measured(tiny_run: Run, table: Path) -> MeasuredRun:
    return measure_run(tiny_run, table)


def test_report_has_the_groups_of_a_column(
    tiny_run: Run, table: Path, measured: MeasuredRun, tmp_path: Path
) -> None:
    page = report(tiny_run, data=table, out=tmp_path / "report.html").read_text(encoding="utf-8")
    (task,) = measured.tasks
    assert measured.predictions is not None
    assert measured.examples is not None
    right = measured.predictions[task.name].argmax(axis=1) == measured.examples.labels
    lines = csv.reader(table.read_text(encoding="utf-8").splitlines())
    wards = {path: ward for path, _, ward in lines}
    own = [wards[name] for name in measured.examples.names]
    assert HOSTILE not in page
    (section,) = re.findall(r"Groups, worst first.*?</section>", page, re.DOTALL)
    found = re.findall(r'<th scope="row">(.*?)</th>\s*<td class="number">(.*?)</td>', section)
    expected = {
        name: f"{np.mean([hit for hit, of in zip(right, own, strict=True) if of == ward]):.3f}"
        for name, ward in (("&lt;b&gt;ward &amp; 1&lt;/b&gt;", HOSTILE), ("ward 2", "ward 2"))
    }
    assert dict(found) == expected
    assert found[0][0] == "ward 2"
    assert "of 2 groups of two images or more" in section


def test_task_of_labels_has_them_by_all_labels(measured: MeasuredRun) -> None:
    task = Task("tags", "multi_label", class_names=("a", "b"))
    assert measured.examples is not None
    count = len(measured.examples)
    targets = np.tile(np.array([[1, 0]], np.float32), (count, 1))
    predictions = np.full((count, 2), 0.2, np.float32)
    predictions[:, 0] = np.where(np.arange(count) % 2, 0.9, 0.1)
    examples = replace(measured.examples, targets={"tags": targets})
    metrics = {"exact_match": 0.5, "exact_match_interval": [0.2, 0.8], "num_images": count}
    both = replace(
        measured,
        tasks=(task,),
        examples=examples,
        predictions={"tags": predictions},
        metrics={  # type: ignore[typeddict-item]
            "num_images": count,
            "tasks": {"tags": {**metrics, "mean_average_precision": None, "per_label": {}}},
        },
    )
    found = build_task_report(both, task, "task0", Thumbnails(0, 0))
    rows, _ = rank_groups(examples, np.arange(count) % 2 == 1)
    assert found.groups == rows
    assert len(rows) == 2
