"""The report: the numbers of the run, the same bytes, and what it does without images."""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from pipelines.cli.main import run_command
from pipelines.evaluation.classification import compute_classification_metrics
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.metrics import compute_multi_label_metrics, compute_regression_metrics
from pipelines.inspection.report.comparison import compare_task, pair_runs
from pipelines.inspection.report.diagrams import draw_learning_curves
from pipelines.inspection.report.measured_run import MeasuredRun, measure_run
from pipelines.inspection.report.page import render_page
from pipelines.inspection.report.provenance import describe_provenance
from pipelines.inspection.report.report import report
from pipelines.inspection.report.report_data import RunReport
from pipelines.inspection.report.task_report import build_task_report
from pipelines.inspection.report.thumbnails import Thumbnails
from pipelines.inspection.report.trials import describe_trials
from pipelines.serving.run import Run
from pipelines.storage.records import read_history
from tests.pipelines.inspection.report.conftest import HOSTILE
from tests.support.command_line import fails
from tests.support.search_results import draw_search
from tests.support.tiny import write_images
from zoo.errors import DataError, InputError, RunError
from zoo.files import sha256_of
from zoo.models.classifier import build_classifier
from zoo.tasks import Task

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def page(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "report.html"
    return report(tiny_run, out=out).read_text(encoding="utf-8")


def moved(run: Run, to: Path) -> Path:
    """Returns a copy of a run whose images are gone."""
    shutil.copytree(run.path, to)
    recipe = (to / "recipe.toml").read_text()
    (to / "recipe.toml").write_text(re.sub(r'source = ".*"', 'source = "/nowhere/photos"', recipe))
    return to


def test_report_has_the_metrics_of_evaluate(
    tiny_run: Run, tiny_folder: Path, measured: MeasuredRun, page: str
) -> None:
    metrics = evaluate(tiny_run, tiny_folder, split="val")["val"]
    assert measured.split == "val"
    assert measured.metrics == metrics
    hits = round(metrics["accuracy"] * metrics["num_images"])
    assert f"{hits} of {metrics['num_images']} validation images are classified correctly" in page
    for name in metrics["per_class"]:
        assert f'<th scope="row">{name}</th>' in page
    assert f"{metrics['loss']:.3f}" in page
    assert tiny_run.recipe_file.read_text().splitlines()[0] in page
    for file in ("model.keras", "recipe.toml", "images.json"):
        assert sha256_of(tiny_run.path / file) in page


def test_same_command_gives_the_same_bytes(tiny_run: Run, tmp_path: Path, page: str) -> None:
    again = tmp_path / "again.html"
    assert run_command(["report", str(tiny_run.path), "--out", str(again)]) == 0
    assert again.read_text(encoding="utf-8") == page


def test_page_asks_for_nothing(page: str) -> None:
    assert "default-src 'none'" in page
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']([^"']{0,30})""", page)
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert "@import" not in page
    assert "url(" not in page


def test_hostile_names_are_text(hostile: tuple[Run, Path], tmp_path: Path) -> None:
    run, data = hostile
    text = report(run, data=data, out=tmp_path / "report.html").read_text(encoding="utf-8")
    for name in HOSTILE.values():
        assert name not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7 * 7 }}" in text, "no template is made of a name"


def test_without_images_a_report_has_what_the_run_recorded(
    tiny_run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = moved(tiny_run, tmp_path / "run")
    with caplog.at_level(logging.WARNING):
        file = report(run)
    assert file == run / "report.html"
    text = file.read_text(encoding="utf-8")
    assert "--data DATA" in caplog.text
    assert "The images are not at hand" in text
    assert "<img" not in text
    assert "Reliability" not in text
    recorded = tiny_run.metrics["val"]
    assert f"{recorded['loss']:.3f}" in text
    for part in ("Confusion matrix", "Classes, worst first", "Learning curves", "SHA-256"):
        assert part in text


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metrics.json", '{"val": {"num_images": 6, "accuracy": 0.5}}'),
        ("metrics.json", '{"val": {"num_images": 0, "per_class": {}}}'),
        ("search.json", '{"trials": [{"id": "0", "status": "COMPLETED"}], "best": {}}'),
        ("history.csv", "epoch,loss\n1,soon\n"),
    ],
)
def test_damaged_record_is_named(
    file: str, content: str, tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = moved(tiny_run, tmp_path / "run")
    (run / "confusion.csv").unlink()
    (run / file).write_text(content)
    assert run_command(["report", str(run)]) == 2
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert last.startswith("error: ")
    assert f"{file} is damaged" in last
    assert not (run / "report.html").exists()


def test_moved_images_are_found_by_content(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path, measured: MeasuredRun
) -> None:
    run = moved(tiny_run, tmp_path / "run")
    again = measure_run(Run.open(run), tiny_folder)
    assert (again.split, again.metrics) == ("val", measured.metrics)


def test_new_images_are_measured_as_such(tiny_run: Run, tmp_path: Path) -> None:
    fresh = write_images(tmp_path / "fresh", 4, seed=5)
    found = measure_run(tiny_run, fresh)
    assert (found.split_word, found.metrics["num_images"], found.notes) == ("new", 12, ())


def test_wrong_input_is_one_line(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tiny_run.path)
    assert "is no run" in fails(capsys, ["report", str(tmp_path)])
    assert "There is no data set" in fails(capsys, ["report", run, "--data", "nowhere"])
    assert "is a folder" in fails(capsys, ["report", run, "--out", str(tmp_path)])
    unfinished = tmp_path / "unfinished"
    shutil.copytree(tiny_run.path, unfinished)
    (unfinished / "metrics.json").unlink()
    assert "is not finished" in fails(capsys, ["report", str(unfinished)])


def test_cells_and_losses_are_those_of_the_predictions(measured: MeasuredRun) -> None:
    (task,) = measured.tasks
    found = build_task_report(measured, task, "task0", Thumbnails(10**7, 1000))
    assert measured.examples is not None
    assert measured.predictions is not None
    probabilities, labels = measured.predictions[task.name], measured.examples.labels
    for row in found.matrix:
        for cell in row:
            true, given = (task.class_names.index(name) for name in (cell.true, cell.predicted))
            inside = np.flatnonzero((labels == true) & (probabilities.argmax(1) == given))
            assert cell.count == len(inside)
            names = {measured.examples.names[index] for index in inside.tolist()}
            assert {image.name for image in cell.images} == names
    losses = -np.log(probabilities[np.arange(len(labels)), labels])
    worst = np.argsort(-losses, kind="stable")
    expected = [measured.examples.names[index] for index in worst.tolist()]
    assert [image.name for image in found.top_losses] == expected[: len(found.top_losses)]
    f1 = [row.values["f1"] for row in found.rows]
    assert f1 == sorted(f1)


@pytest.mark.parametrize("split", ["val", "train"])
def test_labels_that_the_model_surely_contradicts_are_shown(
    split: str, measured: MeasuredRun
) -> None:
    (task,) = measured.tasks
    assert measured.examples is not None
    labels = measured.examples.labels
    # Sure of the others, and as sure that the first is of another class; it doubts the last.
    probabilities = np.full((len(labels), 3), 0.02, np.float32)
    given = labels.copy()
    given[0] = (labels[0] + 1) % 3
    probabilities[np.arange(len(labels)), given] = 0.96
    probabilities[-1] = 0.36, 0.32, 0.32
    metrics: Any = compute_classification_metrics(labels, probabilities, task.class_names)
    changed = replace(
        measured, split=split, metrics=metrics, predictions={task.name: probabilities}
    )
    found = build_task_report(changed, task, "task0", Thumbnails(10**7, 1000))
    if split == "train":  # which the model was fitted to
        assert not found.doubted
    else:
        (card,) = found.doubted
        assert (card.name, card.true) == (measured.examples.names[0], task.class_names[labels[0]])
        assert card.predicted == task.class_names[given[0]]
        assert found.num_doubted == 1


def test_many_classes_have_a_list_of_confusions(measured: MeasuredRun) -> None:
    rng = np.random.default_rng(0)
    (task,) = measured.tasks
    assert measured.examples is not None
    count = len(measured.examples)
    names = tuple(f"class {number:02d}" for number in range(30))
    many = replace(task, class_names=names)
    labels = rng.integers(0, 30, count)
    probabilities = rng.dirichlet(np.ones(30), count).astype(np.float32)
    metrics: Any = compute_classification_metrics(labels, probabilities, names)
    examples = replace(measured.examples, labels=labels, targets={task.name: labels})
    run = Run(measured.run.path)
    run.__dict__["model"] = build_classifier("micro_resnet_s", 30, size=32)
    changed = replace(
        measured,
        run=run,
        tasks=(many,),
        metrics=metrics,
        examples=examples,
        predictions={task.name: probabilities},
    )
    found = build_task_report(changed, many, "task0", Thumbnails(10**7, 1000))
    assert not found.matrix
    counts = [cell.count for cell in found.pairs]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == (probabilities.argmax(1) != labels).sum()
    assert all(len(cell.images) == cell.count for cell in found.pairs)


def test_tasks_of_other_kinds_have_their_tables(tiny_run: Run, measured: MeasuredRun) -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, (40, 2)).astype(np.float32)
    tags = Task("tags", "multi_label", class_names=("<b>bar</b>", "frame"))
    light = Task("light", "regression")
    numbers = rng.normal(size=40).astype(np.float32)
    several = MeasuredRun(
        tiny_run,
        "photos",
        "test",
        (tags, light),
        {
            "num_images": 40,
            "tasks": {
                "tags": compute_multi_label_metrics(
                    targets, rng.random((40, 2)).astype(np.float32), tags.class_names
                ),
                "light": compute_regression_metrics(numbers, numbers + 1),
            },
        },
    )
    parts = [
        build_task_report(several, task, f"task{i}", Thumbnails(10**6, 10))
        for i, task in enumerate((tags, light))
    ]
    page = render_page(
        "run.html.j2",
        RunReport("run", "photos", (), parts, (), None, describe_provenance(measured)),
    )
    assert "Task tags" in page
    assert "Labels, worst first" in page
    assert "&lt;b&gt;bar&lt;/b&gt;" in page
    assert "miss the true number by 1 on average" in page
    assert page.count("are shown of tasks with classes") == 2


@pytest.mark.parametrize("folds", [False, True])
def test_trials_are_ranked_and_drawn(folds: bool, measured: MeasuredRun) -> None:
    search = draw_search(40, folds=folds, failed=3)
    table = describe_trials(search)
    assert table is not None
    scores = [float(row[1]) for row in table.rows if row[1] != "failed"]
    assert (len(scores), scores) == (37, sorted(scores, reverse=True))
    assert table.rows[0][0] == f"{search['best']['id']} (taken)"
    assert {chart.x_title for chart in table.charts} == set(table.settings)
    for chart in table.charts:
        assert all(0 <= dot.x <= chart.width and 0 <= dot.y <= chart.height for dot in chart.dots)
        assert sum(dot.strong for dot in chart.dots) <= 1
    parallel = table.parallel
    assert parallel is not None
    assert [axis.title for axis in parallel.axes[1:]] == table.settings
    assert len(parallel.lines) == len(scores)
    assert [line.style for line in parallel.lines].count("taken") == 1
    assert parallel.lines[-1].style == "taken"
    assert search["best"]["id"] in parallel.lines[-1].title
    for line in parallel.lines:
        points = [part[1:].split(",") for part in line.path.split()]
        assert line.path.startswith("M")
        assert float(points[0][0]) == parallel.axes[0].x
        assert all(float(x) in {axis.x for axis in parallel.axes} for x, _ in points)
        assert all(parallel.top <= float(y) <= parallel.bottom for _, y in points)
    # The highest end is the best score's.
    ends = {line.title: float(line.path.split()[0].split(",")[1]) for line in parallel.lines}
    assert min(ends, key=ends.__getitem__).startswith(f"trial {search['best']['id']}:")
    page = render_page(
        "run.html.j2",
        RunReport("run", "photos", (), (), (), table, describe_provenance(measured)),
    )
    assert page.count("<path") == len(parallel.lines)
    assert page.count("<circle") == sum(len(chart.dots) for chart in table.charts)
    assert describe_trials({}) is None


def test_history_is_read_and_drawn(tiny_run: Run, tmp_path: Path) -> None:
    rows = read_history(tiny_run.path / "history.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [chart.title for chart in draw_learning_curves(rows)] == ["Loss", "Accuracy"]
    assert read_history(tmp_path / "none.csv") == []
    (tmp_path / "bad.csv").write_text("epoch,loss\n1,soon\n")
    with pytest.raises(RunError, match="is damaged"):
        read_history(tmp_path / "bad.csv")


def switched(measured: MeasuredRun, wrong: list[int]) -> MeasuredRun:
    """Returns the run with certain and right predictions, but for some images."""
    assert measured.examples is not None
    labels = measured.examples.labels.copy()
    labels[wrong] = (labels[wrong] + 1) % 3
    probabilities = np.where(np.arange(3) == labels[:, None], 0.8, 0.1).astype(np.float32)
    return replace(measured, predictions={measured.tasks[0].name: probabilities})


def test_comparison_is_paired(measured: MeasuredRun) -> None:
    (task,) = measured.tasks
    first, second = switched(measured, [0, 1, 2, 3]), switched(measured, [3, 4])
    # The second run has its images in another order.
    assert second.examples is not None
    assert second.predictions is not None
    order = np.arange(len(second.examples))[::-1]
    second = replace(
        second,
        examples=second.examples.take(order),
        predictions={task.name: second.predictions[task.name][order]},
    )
    found = compare_task(
        pair_runs(first, second), task, "task0", ("A", "B"), Thumbnails(10**7, 100)
    )
    count = len(order)
    assert found.table == (count - 5, 1, 3, 1)
    assert found.accuracies == ((count - 4) / count, (count - 2) / count)
    assert found.p_value == pytest.approx(binomtest(3, 4).pvalue)
    assert found.difference == pytest.approx(2 / count)
    low, high = found.difference_interval
    assert low <= found.difference <= high
    assert found.losses[0] - found.losses[1] == pytest.approx(2 * np.log(8) / count, rel=1e-5)
    assert measured.examples is not None
    names = [measured.examples.names[index] for index in range(5)]
    assert {card.name for card in found.gained} == set(names[:3])
    assert [card.name for card in found.lost] == [names[4]]
    assert all(card.predicted[1] == card.true for card in found.gained)


def test_runs_that_held_out_some_of_the_same_images_are_compared_on_these(
    measured: MeasuredRun,
) -> None:
    (task,) = measured.tasks
    first, second = switched(measured, [0, 1, 2]), switched(measured, [2, 3])
    assert second.examples is not None
    assert second.predictions is not None
    kept = np.arange(1, len(second.examples))[::-1]
    second = replace(
        second,
        examples=second.examples.take(kept),
        predictions={task.name: second.predictions[task.name][kept]},
    )
    pairing = pair_runs(first, second)
    found = compare_task(pairing, task, "task0", ("A", "B"), Thumbnails(10**7, 100))
    count = len(kept)
    assert found.table == (count - 3, 1, 1, 1)
    assert f"compared on the {count} that both did" in pairing.note
    trained = replace(second, split="train")
    with pytest.raises(InputError, match="measured on different images; expected the same"):
        pair_runs(first, trained)


def test_runs_on_other_images_are_not_compared(measured: MeasuredRun, tmp_path: Path) -> None:
    other = measure_run(measured.run, write_images(tmp_path / "fresh", 3, seed=9))
    with pytest.raises(InputError, match="measured on different images; expected the same"):
        pair_runs(measured, other)
    with pytest.raises(InputError, match="without images"):
        pair_runs(measured, replace(measured, examples=None, predictions=None))
    renamed = replace(measured.tasks[0], class_names=("x", "y", "z"))
    with pytest.raises(InputError, match="predict other things"):
        pair_runs(measured, replace(measured, tasks=(renamed,)))


def test_comparison_of_a_run_with_itself(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "both.html"
    run = str(tiny_run.path)
    assert run_command(["report", run, run, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    text = out.read_text(encoding="utf-8")
    assert "These images do not show which of the two runs is more accurate" in text
    assert "There are none." in text


def test_data_of_other_classes_are_refused(tiny_run: Run, tmp_path: Path) -> None:
    write_images(tmp_path / "data", 2)
    (tmp_path / "data" / "red").rename(tmp_path / "data" / "crimson")
    with pytest.raises(DataError, match="crimson"):
        report(tiny_run, data=tmp_path / "data", out=tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
