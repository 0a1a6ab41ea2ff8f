"""Near-duplicates of training images: in metrics, text and report, with folds and without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from pipelines.cli.main import run_command
from pipelines.cli.printing import print_evaluation
from pipelines.evaluation import training_twins
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.metrics import compute_metrics
from pipelines.evaluation.training_twins import TrainingTwins
from pipelines.inspection.report.measured_run import measure_run
from pipelines.inspection.report.verdict import judge_near_duplicates
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.sources.source import Examples, join_examples
from pipelines.training import split_twins
from pipelines.training.fold_heads import divide
from pipelines.training.prepare import open_images
from pipelines.training.train import train
from tests.pipelines.training.test_convex_training import CONVEX
from tests.support.planted import build_image, build_near_duplicates
from tests.support.remedies import proposed_settings
from tests.support.tiny import TINY
from zoo.errors import RunError
from zoo.tasks import Task, classification

TINTS = {"dark": (70, 70, 90), "light": (190, 190, 170)}
KINDS = ("encoded again", "cropped at every edge", "mirrored")
SHORT: dict[str, Any] = {"train": {"epochs": 1}, "features": {"use": False}}


def _write(folder: Path, seeds: range) -> None:
    for number, (name, tint) in enumerate(TINTS.items()):
        (folder / name).mkdir(parents=True)
        for seed in seeds:
            image = build_image(100 * number + seed, (60, 50), tint)
            image.save(folder / name / f"{seed:02}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen training images; of nine for validation, three are like them, and one is a copy.

    One of the others has the wrong label: accuracy is lower without near-duplicates.
    """
    root = tmp_path_factory.mktemp("twins") / "data"
    _write(root / "train", range(8))
    _write(root / "val", range(20, 22))
    for index, kind in enumerate(KINDS):
        image = build_image(index, (60, 50), TINTS["dark"])
        build_near_duplicates(image)[kind].save(root / "val" / "dark" / f"twin{index}.png")
    shutil.copy(root / "train" / "light" / "07.png", root / "val" / "light" / "copy.png")
    build_image(40, (60, 50), TINTS["dark"]).save(root / "val" / "light" / "wrong.png")
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(data, Recipe.from_settings(TINY, SHORT), out=tmp_path_factory.mktemp("r") / "run")


def _expect(examples: Examples, right: np.ndarray) -> dict[str, Any]:
    twins = np.array(["twin" in name or "copy" in name for name in examples.names])
    hits, count = int(right[~twins].sum()), int((~twins).sum())
    interval = binomtest(hits, count).proportion_ci(0.95, "wilson")
    return {
        "num_images": count,
        "num_near_duplicates": 4,
        "num_copies": 1,
        "accuracy": hits / count,
        "accuracy_interval": [pytest.approx(bound) for bound in interval],
    }


@pytest.mark.train
def test_metrics_have_the_accuracy_without_near_duplicates(run: Run) -> None:
    measured = measure_run(run, None)
    (task,) = measured.tasks
    assert measured.examples is not None
    assert measured.predictions is not None
    right = measured.predictions[task.name].argmax(axis=1) == measured.examples.labels
    expected = _expect(measured.examples, right)
    for metrics in (run.record["val"], measured.metrics, evaluate(run, measured.data)["val"]):
        assert metrics["without_near_duplicates"] == expected
        assert metrics["accuracy"] > expected["accuracy"]
    assert "without_near_duplicates" not in run.record["train"]


@pytest.mark.train
def test_text_and_json_say_it(
    run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["evaluate", str(run.path), str(data)]) == 0
    text = capsys.readouterr().out
    found = run.record["val"]["without_near_duplicates"]
    low, high = found["accuracy_interval"]
    said = f"{found['accuracy']:.4f}  (95 % interval {low:.4f} to {high:.4f})"
    assert f"    {said}  without 4 near-duplicates of training images, 1 of them copies" in text
    assert text.count("near-duplicate") == 1
    assert run_command(["evaluate", str(run.path), str(data), "--split", "val", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["val"]["without_near_duplicates"] == found
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(Recipe.from_settings(TINY, SHORT).to_toml(), encoding="utf-8")
    command = ["train", str(data), "--recipe", str(recipe), "--out", str(tmp_path / "run")]
    assert run_command(command) == 0
    line = capsys.readouterr().out.splitlines()[0]
    said = said.replace("  (", " (")
    assert f"; {said} without 4 near-duplicates of training images, 1 of them copies, " in line


@pytest.mark.train
def test_report_says_it(run: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert run_command(["report", str(run.path), "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    said = "4 images have a near-duplicate among the training images (1 of them byte for byte);"
    assert said in page
    assert "are not counted" not in page
    # What the run recorded is said where its images are gone.
    moved = tmp_path / "moved"
    shutil.copytree(run.path, moved)
    text = (moved / "recipe.toml").read_text(encoding="utf-8")
    (moved / "recipe.toml").write_text(text.replace(str(data), "/nowhere"), encoding="utf-8")
    assert run_command(["report", str(moved)]) == 0
    assert said in (moved / "report.html").read_text(encoding="utf-8")


@pytest.mark.train
def test_new_images_are_compared_with_those_that_the_run_was_trained_on(
    run: Run, tmp_path: Path
) -> None:
    _write(tmp_path / "new", range(30, 32))
    whole = evaluate(run, tmp_path / "new")["all"]
    assert whole["without_near_duplicates"] == {
        "num_images": 4,
        "num_near_duplicates": 0,
        "num_copies": 0,
        "accuracy": whole["accuracy"],
        "accuracy_interval": whole["accuracy_interval"],
    }
    twin = build_near_duplicates(build_image(105, (60, 50), TINTS["light"]))["smaller"]
    twin.save(tmp_path / "new" / "light" / "90.png")
    assert evaluate(run, tmp_path / "new")["all"]["without_near_duplicates"]["num_images"] == 4


@pytest.mark.train
def test_run_without_hashes_says_so(
    run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "run"
    shutil.copytree(run.path, old, ignore=shutil.ignore_patterns("hashes.npz"))
    assert run_command(["evaluate", str(old), str(data)]) == 0
    shown = capsys.readouterr()
    assert "not counted: the run has no hashes" in shown.err
    assert "near-duplicate" not in shown.out
    (old / "hashes.npz").write_bytes((run.path / "hashes.npz").read_bytes()[:-50])
    with pytest.raises(RunError, match=r"hashes\.npz cannot be used.*train the run again"):
        evaluate(Run.open(old), data)


@pytest.mark.train
def test_too_many_images_are_not_compared(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (training_twins, split_twins):
        monkeypatch.setattr(module, "MAX_IMAGES", 24)
    run = train(data, Recipe.from_settings(TINY, SHORT), out=tmp_path / "run")
    assert "of more than 24 images, the near-duplicates" in capsys.readouterr().err
    assert "without_near_duplicates" not in run.record["val"]
    assert not (run.path / "hashes.npz").exists()


@pytest.mark.train
def test_with_folds_only_near_duplicates_in_another_fold_count(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tmp_path / "data"
    shutil.copytree(data / "train", whole)
    shutil.copytree(data / "val", whole, dirs_exist_ok=True)
    recipe = Recipe.from_settings(CONVEX, {"train": {"folds": 3}})
    run = train(whole, recipe, out=tmp_path / "run")
    source = open_images(run.recipe)
    both = join_examples([source.train, source.val])
    fold_of = np.empty(len(both), int)
    for number, (_, held) in enumerate(divide(both, 3, run.recipe.seed)):
        fold_of[held] = number
    places = {name: index for index, name in enumerate(both.names)}
    pairs = [(places[f"dark/0{i}.png"], places[f"dark/twin{i}.png"]) for i in range(3)]
    divided = [index for pair in pairs if len(set(fold_of[list(pair)])) == 2 for index in pair]
    assert divided
    found = run.record["val"]["without_near_duplicates"]
    assert (found["num_near_duplicates"], found["num_copies"]) == (len(divided), 0)
    measured = evaluate(run, whole, split="val")["val"]
    assert measured["without_near_duplicates"] == found
    message = capsys.readouterr().err
    assert f"{len(divided)} of {len(both)} val images have a near-duplicate" in message
    ((setting,),) = proposed_settings(message)
    mended = train(whole, recipe.override(dict([setting.split("=")])), out=tmp_path / "mended")
    assert "val images have a near-duplicate" not in capsys.readouterr().err
    assert mended.record["val"]["without_near_duplicates"]["num_near_duplicates"] == 0


@pytest.mark.parametrize("left", [0, 2])
@pytest.mark.parametrize("kind", ["single_label", "multi_label", "regression"])
def test_every_kind_of_task_is_measured_without_them(
    kind: str, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    near = np.arange(6) >= left
    twins = TrainingTwins(near, np.arange(6) == 5)
    predictions = rng.dirichlet(np.ones(3), 6).astype(np.float32)
    targets: np.ndarray = rng.integers(0, 3, 6)
    right = predictions.argmax(axis=1) == targets
    if kind == "multi_label":
        targets = (rng.random((6, 3)) > 0.5).astype(np.float32)
        right = ((predictions >= 0.5) == targets).all(axis=1)
    if kind == "regression":
        targets = rng.normal(size=6).astype(np.float32)
    task = Task("t", kind, class_names=("a", "b", "c") if kind != "regression" else ())
    examples = Examples(tuple("abcdef"), np.zeros(6, np.int64), targets={"t": targets})
    metrics = compute_metrics(examples, {"t": predictions}, [task], twins=twins)
    found: Any = metrics["tasks"]["t"]["without_near_duplicates"]
    counts = (found["num_images"], found["num_near_duplicates"], found["num_copies"])
    assert counts == (left, 6 - left, 1)
    name = {"single_label": "accuracy", "multi_label": "exact_match", "regression": "mae"}[kind]
    expected = None
    if left:
        errors = np.abs(targets - predictions[:, 0]) if kind == "regression" else right
        expected = pytest.approx(float(errors[:left].mean()))
    assert found[name] == expected
    print_evaluation({"val": metrics})
    text = capsys.readouterr().out
    assert f"without {6 - left} near-duplicates of training images, 1 of them copies" in text
    assert ("no image is left" in text) is not left
    sentence = judge_near_duplicates(found)
    assert f"{6 - left} images have a near-duplicate" in sentence
    assert ("every one" in sentence) is (left == 0)


def test_without_near_duplicates_the_text_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    twins = TrainingTwins(np.zeros(4, bool), np.zeros(4, bool))
    labels = np.array([0, 1, 0, 1])
    (task,) = classification(("a", "b"))
    examples = Examples(tuple("abcd"), labels, targets={task.name: labels})
    predictions = {task.name: np.eye(2, dtype=np.float32)[labels]}
    metrics = compute_metrics(examples, predictions, [task], twins=twins)
    print_evaluation({"val": metrics})
    assert "no image has a near-duplicate among the training images" in capsys.readouterr().out
    assert judge_near_duplicates(metrics["without_near_duplicates"]).startswith("No image has")
