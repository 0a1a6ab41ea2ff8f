"""Decision rules of a run: fitted in training, the same in prediction, evaluation and export."""

from __future__ import annotations

import csv
import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from pipelines.cli.main import run_command
from pipelines.evaluation.metrics import compute_metrics
from pipelines.evaluation.predictions import compute_answers
from pipelines.inspection.report.measured_run import measure_run
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.sections import DecisionConfig
from pipelines.serving.predict import predict
from pipelines.serving.run import Run
from pipelines.training.fit_decision import fit_decision
from pipelines.training.prepare import open_images
from pipelines.training.train import train
from tests.support.tiny import TINY, write_images
from zoo.errors import RunError
from zoo.export.savedmodel import write_savedmodel
from zoo.models.decision import SET_METHODS

pytestmark = pytest.mark.train

SETTINGS: dict[str, Any] = {
    "features": {"engine": "keras"},
    "train": {"epochs": 2},
    "augment": {"policy": "none"},
    "unknown": {"method": "none"},
    "decision": {"sets": "adaptive", "error_rate": 0.2},
}
SEVERAL: dict[str, Any] = {
    **SETTINGS,
    "decision": {"thresholds": "f1", "sets": "least_ambiguous", "error_rate": 0.2},
    "tasks": {
        "kind": {"kind": "single_label", "column": "label"},
        "tags": {"kind": "multi_label", "column": "tags"},
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decided") / "data"
    write_images(folder / "train", 12)
    write_images(folder / "val", 10, seed=1)
    write_images(folder / "test", 10, seed=2)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(data, Recipe.from_settings(TINY, SETTINGS), out=out)


@pytest.fixture(scope="module")
def several(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with classes and labels; every other image has the label `odd`."""
    folder = tmp_path_factory.mktemp("several")
    table = folder / "data.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "tags", "split"))
        for number, path in enumerate(sorted(data.glob("*/*/*"))):
            tags = f"{path.parent.name}{';odd' if number % 2 else ''}"
            writer.writerow((path, path.parent.name, tags, path.parts[-3]))
    return train(table, Recipe.from_settings(TINY, SEVERAL), out=folder / "run")


@functools.cache
def probabilities(run: Run, split: str) -> dict[str, np.ndarray]:
    examples = open_images(run.recipe).splits[split]
    return compute_answers(run.model, None, run.recipe, examples, run.tasks).predictions


def test_threshold_is_the_order_statistic_of_validation(run: Run) -> None:
    record = run.record["decision"]
    assert (record["method"], record["error_rate"], record["num_images"]) == ("adaptive", 0.2, 30)
    rows, labels = probabilities(run, "val")["label"], open_images(run.recipe).val.labels
    scores = [
        row[row > row[own]].sum() + row[own] / 2 for row, own in zip(rows, labels, strict=True)
    ]
    # k = ⌈31 · 0.8⌉ = 25.
    assert record["threshold"] == pytest.approx(np.sort(scores)[24], abs=1e-5)


def test_metrics_count_what_sets_hold(run: Run) -> None:
    rows, labels = probabilities(run, "test")["label"], open_images(run.recipe).test.labels
    members = run.decision_rules["label"].members(rows)
    metrics = run.metrics["test"]
    found, hits = metrics["prediction_sets"], members[np.arange(30), labels]
    assert found["coverage"] == hits.mean()
    assert found["size"] == pytest.approx(members.sum() / 30)
    assert found["single"] == (members.sum(axis=1) == 1).mean()
    assert found["empty"] == (members.sum(axis=1) == 0).mean()
    for index, name in enumerate(run.class_names):
        of_class = metrics["per_class"][name]
        assert of_class["coverage"] == hits[labels == index].mean()
        assert of_class["set_size"] == pytest.approx(members[labels == index].sum(axis=1).mean())


def test_predictions_name_the_set_in_python_json_and_text(
    run: Run, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = data / "test"
    predictions = run.predict(folder)
    rule, names = run.decision_rules["label"], np.array(run.class_names)
    assert run_command(["predict", str(run.path), str(folder), "--json", "--top", "1"]) == 0
    printed = json.loads(capsys.readouterr().out)["predictions"]
    sizes = set()
    for prediction, values in zip(predictions, printed, strict=True):
        row = np.array(
            [dict(zip(prediction.classes, prediction.probabilities, strict=True))[n] for n in names]
        )
        members = prediction.prediction_set
        assert members == prediction.tasks["label"].prediction_set
        assert members is not None
        assert set(members) == set(names[rule.members(row[None])[0]])
        assert members == tuple(name for name in prediction.classes if name in members)
        assert values["prediction_set"] == list(members)
        assert (f" (perhaps {', '.join(members)})" in str(prediction)) == (len(members) > 1)
        sizes.add(len(members))
    assert len(sizes) > 1


def test_evaluation_prints_coverage(
    run: Run, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["evaluate", str(run.path), str(data), "--split", "test"]) == 0
    lines = capsys.readouterr().out
    found = run.metrics["test"]["prediction_sets"]
    assert f"in its set         {found['coverage']:.4f}" in lines
    assert f"classes in a set   {found['size']:.2f}" in lines
    assert "coverage  set size" in lines


def test_export_has_the_same_sets(several: Run, data: Path, tmp_path: Path) -> None:
    # Not checked by a fresh process, which is shown elsewhere to compare the sets.
    version = tmp_path / "model" / "1"
    preprocessing, rules = several.recipe.input.preprocessing, several.decision_rules
    write_savedmodel(several.model, preprocessing, several.tasks, version, rules=rules)
    own, exported = several.predict(data / "test"), predict(version, data / "test", trust=True)
    for one, other in zip(own, exported, strict=True):
        for task, expected in one.tasks.items():
            assert other.tasks[task].prediction_set == expected.prediction_set is not None


def test_labels_have_thresholds_that_metrics_and_predictions_use(several: Run, data: Path) -> None:
    record = several.record["decision"]["tasks"]
    assert record["kind"]["method"] == "least_ambiguous"
    thresholds = record["tags"]["thresholds"]
    tags = several.tasks[1]
    assert list(thresholds) == list(tags.class_names)
    rows = probabilities(several, "test")["tags"]
    targets = open_images(several.recipe).test.targets["tags"]
    predicted = rows >= np.array([thresholds[name] for name in tags.class_names])
    metrics = several.metrics["test"]["tasks"]["tags"]
    assert metrics["exact_match"] == (predicted == targets).all(axis=1).mean()
    for prediction, row in zip(several.predict(data / "test"), predicted, strict=True):
        assert set(prediction.tasks["tags"].prediction_set or ()) == set(
            np.array(tags.class_names)[row]
        )
        assert " (labels: " in str(prediction)


def test_report_counts_sets_and_labels_as_the_run_does(run: Run, several: Run) -> None:
    assert (
        measure_run(run, None).metrics["prediction_sets"]
        == (run.metrics["test"]["prediction_sets"])
    )
    found, expected = measure_run(several, None).metrics, several.metrics["test"]
    for name, part in expected["tasks"].items():
        for metric in ("prediction_sets", "exact_match", "macro_f1"):
            assert found["tasks"][name].get(metric) == part.get(metric)


def fit(run: Run, **settings: Any) -> dict[str, Any]:
    """Returns what would be fitted with other settings of `decision`."""
    recipe = run.recipe.model_copy(update={"decision": DecisionConfig(**settings)})
    return fit_decision(probabilities(run, "val"), recipe, open_images(recipe))


def test_nothing_is_fitted_where_it_is_off_or_images_are_few(
    run: Run, several: Run, caplog: pytest.LogCaptureFixture
) -> None:
    assert fit(run, sets="none") == {}
    assert list(fit(several, sets="none", thresholds="f1")["tasks"]) == ["tags"]
    assert fit(run) == {}
    assert "prediction sets: 30 validation images are too few" in caplog.text
    with_validation = run.recipe.train.model_copy(update={"with_validation": True})
    recipe = run.recipe.model_copy(update={"train": with_validation})
    assert fit_decision(probabilities(run, "val"), recipe, open_images(run.recipe)) == {}
    assert "since the validation images were trained on" in caplog.text


def test_rate_below_one_in_n_holds_every_class(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert fit(run, sets="adaptive", error_rate=0.03)["threshold"] == 1
    assert "too few images to leave out any class" in caplog.text


def test_values_that_are_not_finite_have_no_rule(run: Run) -> None:
    source = open_images(run.recipe)
    assert fit_decision({"label": np.full((30, 3), np.nan, np.float32)}, run.recipe, source) == {}


def test_auto_takes_the_default_with_enough_images(run: Run) -> None:
    source = open_images(run.recipe)
    twice = source.val.take([*range(30), *range(30)])
    rows = np.tile(probabilities(run, "val")["label"], (2, 1))
    recipe = run.recipe.model_copy(update={"decision": DecisionConfig()})
    record = fit_decision({"label": rows}, recipe, replace(source, val=twice))
    assert (record["method"], record["num_images"]) == ("least_ambiguous", 60)


def test_damaged_rule_is_named(run: Run, tmp_path: Path) -> None:
    record = {**run.record, "decision": {"method": "adaptive", "threshold": 7.0}}
    (tmp_path / "labels.json").write_text(json.dumps(list(run.class_names)))
    (tmp_path / "metrics.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"metrics\.json is damaged; received label has no such"):
        _ = Run(tmp_path).decision_rules


def test_settings_name_the_rows_of_the_table() -> None:
    methods = get_args(DecisionConfig.model_fields["sets"].annotation)
    assert set(methods) == {"auto", "none", *SET_METHODS}


def test_metrics_without_rules_have_no_sets(run: Run) -> None:
    source = open_images(run.recipe)
    rows = {"label": np.full((30, 3), 1 / 3, np.float32)}
    plain = compute_metrics(source.val, rows, run.tasks)
    assert "prediction_sets" not in plain
