"""Several tasks from a table: training, evaluation, prediction and export of one run."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.special import expit, softmax

from pipelines.cli.main import run_command
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.predictions import compute_predictions
from pipelines.pretraining.pretrain import pretrain
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.sections import CalibrationConfig
from pipelines.serving.export import export
from pipelines.serving.predict import predict
from pipelines.serving.run import Run
from pipelines.sources.opening.dataset import open_source
from pipelines.training.calibrate import calibrate
from pipelines.training.train import train
from tests.support.exports import Arrays, answering, recorded_answers
from tests.support.model_server import serving
from tests.support.tiny import TINY
from zoo.errors import DataError, ExportError, RecipeError, RunError
from zoo.export.savedmodel import check_savedmodel
from zoo.files import write_json
from zoo.models.trainable import build_logits_model

pytestmark = pytest.mark.train

CheckedExport = tuple[Path, Sequence[Path], Arrays]

NUMBER = {"kind": "regression", "column": "brightness", "weight": 0.5}
TASKS: dict[str, Any] = {
    "color": {"hidden": [6], "class_weights": "balanced"},
    "tags": {"kind": "multi_label", "loss": "binary_focal", "label_smoothing": 0.05},
    "light": NUMBER,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 48 images: a color, tags for a bar and a frame, and a brightness."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(48):
        light = rng.uniform(40, 160)
        pixels = rng.normal(light, 15, (36, 40, 3))
        color = number % 3
        pixels[..., color] += 60
        tags = [name for name, drawn in (("bar", number % 2), ("frame", number % 5 < 2)) if drawn]
        if "bar" in tags:
            pixels[14:22] = 250
        if "frame" in tags:
            pixels[:4] = pixels[-4:] = 0
        name = f"{number:02d}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
        rows.append([name, ("red", "green", "blue")[color], "|".join(tags), f"{light:.2f}"])
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "color", "tags", "brightness"], *rows])
    return folder / "table.csv"


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    # Validation is one batch: over several of different size Keras' mean of a task's loss
    # takes each batch for the same.
    recipe = Recipe.from_settings(
        TINY,
        {"tasks": TASKS, "train": {"epochs": 10}},
        {"input": {"batch_size": 13}, "optimizer": {"learning_rate": 0.02}},
    )
    return train(data, recipe, out=tmp_path_factory.mktemp("runs") / "several")


def test_metrics_have_each_task_in_its_own_terms(run: Run) -> None:
    for split, count in (("train", 39), ("val", 9)):
        figures = run.metrics[split]
        assert figures["num_images"] == count
        assert list(figures["tasks"]) == ["color", "tags", "light"]
        assert {"accuracy", "macro_f1", "per_class"} <= set(figures["tasks"]["color"])
        assert {"exact_match", "mean_average_precision"} <= set(figures["tasks"]["tags"])
        assert {"mae", "rmse", "r2"} <= set(figures["tasks"]["light"])
    assert run.metrics["train"]["tasks"]["color"]["accuracy"] > 0.5
    json.dumps(run.metrics, allow_nan=False)


def test_history_sums_the_losses_by_their_weights(run: Run) -> None:
    with (run.path / "history.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k != "phase"} for row in csv.DictReader(file)]
    for row in rows:
        parts = [float(row[f"val_{name}_loss"]) for name in ("color", "tags", "light")]
        expected = parts[0] + parts[1] + 0.5 * parts[2]
        assert float(row["val_loss"]) == pytest.approx(expected, rel=1e-4)
    losses = [float(row["val_loss"]) for row in rows]
    recorded = run.metrics["val"]["tasks"]["light"]
    std = run.tasks[2].std
    # Kept is the epoch of the lowest sum; its number's loss is the figure, standardized.
    best = rows[int(np.argmin(losses))]
    assert (recorded["rmse"] / std) ** 2 == pytest.approx(float(best["val_light_loss"]), rel=1e-3)


def test_classes_and_labels_have_a_temperature_each(
    run: Run, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert "calibration" not in run.record, "nine validation images are too few"
    section = CalibrationConfig(method="temperature")
    recipe = run.recipe.model_copy(update={"calibration": section})
    source = open_source(str(data), tasks=run.recipe.unbound_tasks)
    model = run.load_model()
    logits = build_logits_model(model, frozen=False, tasks=source.tasks)
    before = compute_predictions(logits, recipe, source.val, source.tasks)
    with caplog.at_level(logging.INFO):
        record = calibrate(model, recipe, source, None)
    assert list(record["tasks"]) == ["color", "tags"]
    color, tags = (record["tasks"][name]["temperature"] for name in ("color", "tags"))
    assert color != tags
    said = [line.partition(":")[0] for line in caplog.messages]
    assert said[-2:] == ["temperature of color", "temperature of tags"]
    found = compute_predictions(model, recipe, source.val, source.tasks)
    np.testing.assert_allclose(found["color"], softmax(before["color"] / color, axis=1), atol=1e-5)
    np.testing.assert_allclose(found["tags"], expit(before["tags"] / tags), atol=1e-5)
    light = source.tasks[2]
    np.testing.assert_allclose(found["light"], before["light"] * light.std + light.mean, rtol=1e-4)


def test_run_tells_what_its_outputs_mean(run: Run, data: Path) -> None:
    color, tags, light = run.tasks
    assert color.class_names == ("blue", "green", "red")
    assert tags.class_names == ("bar", "frame")
    train_names = open_source(str(data), tasks=run.recipe.unbound_tasks).train.names
    with data.open(newline="") as file:
        told = {row["path"]: float(row["brightness"]) for row in csv.DictReader(file)}
    assert light.mean == pytest.approx(np.mean([told[name] for name in train_names]), rel=1e-6)


def test_same_recipe_gives_the_same_weights(run: Run, tmp_path: Path) -> None:
    again = train(None, Recipe.from_toml(run.recipe_file), out=tmp_path / "again")
    ours, theirs = (r.load_model().get_weights() for r in (run, again))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_evaluate_repeats_the_figures_and_draws_them(
    run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = evaluate(run, data, picture=tmp_path / "predictions.png")
    for split in ("train", "val"):
        for name, figures in run.metrics[split]["tasks"].items():
            for key in ("accuracy", "exact_match", "mae"):
                assert measured[split]["tasks"][name].get(key) == pytest.approx(figures.get(key))
    with Image.open(tmp_path / "predictions.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 1000
    assert run_command(["evaluate", str(run.path), str(data), "--split", "val"]) == 0
    out = capsys.readouterr().out
    for text in ("task color", "task tags", "exact match", "average precision", "R2"):
        assert text in out


def test_evaluate_says_which_column_is_missing(run: Run, data: Path) -> None:
    lines = data.read_text(encoding="utf-8").replace("brightness", "light")
    other = data.with_name("other.csv")
    other.write_text(lines, encoding="utf-8")
    with pytest.raises(
        DataError, match=r"no column 'brightness', which the task 'light' .* color, tags, light"
    ):
        evaluate(run, other)


def test_predict_has_every_task(run: Run, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(data.with_name(f"{number:02d}.png")) for number in range(3)]
    predictions = run.predict(files, top=2)
    source = open_source(str(data), tasks=run.recipe.unbound_tasks)
    everything = compute_predictions(run.load_model(), run.recipe, source.train, run.tasks)
    for prediction in predictions:
        assert prediction.classes == ()
        assert len(prediction.tasks["color"].classes) == 2
        assert set(prediction.tasks["tags"].classes) == {"bar", "frame"}
        name = Path(prediction.image).name
        if name in source.train.names:
            row = source.train.names.index(name)
            value = prediction.tasks["light"].value
            assert value == pytest.approx(float(everything["light"][row, 0]), rel=1e-4)
    assert run_command(["predict", str(run.path), *files, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["predictions"]
    assert list(printed[0]) == ["image", "tasks", "error"]
    assert list(printed[0]["tasks"]["light"]) == ["value"]
    assert run_command(["predict", str(run.path), files[0]]) == 0
    line = capsys.readouterr().out
    assert "color " in line
    assert "; tags " in line
    assert "; light " in line


@pytest.mark.parametrize("form", ["run", pytest.param("onnx", marks=pytest.mark.slow)])
def test_server_answers_as_predict_does(
    form: str, run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copytree(run.path, tmp_path / "several")
    # Nine validation images are too few to fit them on.
    rules = {
        "color": {"method": "adaptive", "threshold": 0.8},
        "tags": {"thresholds": {"bar": 0.4, "frame": 0.3}},
    }
    metrics = json.loads((model / "metrics.json").read_text())
    write_json(model / "metrics.json", {**metrics, "decision": {"tasks": rules}})
    if form != "run":
        model = Run.open(model).export(tmp_path / "models" / "several", format=form).parent
    files = sorted(data.parent.glob("*.png"))[::6]
    assert run_command(["predict", str(model), *map(str, files), "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["predictions"]
    for task in rules:
        assert len({str(each["tasks"][task]["prediction_set"]) for each in expected}) > 1
    with serving(model) as server:
        for file, row in zip(files, expected, strict=True):
            (found,) = server.ask("POST", "/predict", file.read_bytes()).json["predictions"]
            assert_same({**found, "image": str(file)}, row)


def assert_same(found: Any, expected: Any) -> None:
    """Compares JSON values; a batch rounds numbers otherwise than an image alone."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list) and isinstance(expected[0] if expected else None, float):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4)
    else:
        assert found == expected


@pytest.fixture(scope="module")
def checked_export(run: Run, tmp_path_factory: pytest.TempPathFactory) -> CheckedExport:
    """An export, the images it was checked with, and what the fresh process wrote."""
    with recorded_answers() as answers:
        folder = export(run, tmp_path_factory.mktemp("models") / "several")
    return folder, *answers[0]


@pytest.fixture(scope="module")
def exported(checked_export: CheckedExport) -> Path:
    return checked_export[0]


@pytest.fixture(scope="module")
def served(exported: Path) -> Any:
    """The exported model, loaded; it has `signatures`."""
    return tf.saved_model.load(str(exported))


def test_exported_model_has_outputs_named_after_the_tasks(exported: Path, served: Any) -> None:
    signatures = served.signatures
    for name, further in (("serving_default", {}), ("serving_bytes", {"valid": (tf.bool, [])})):
        outputs = {
            k: (v.dtype, v.shape.as_list()[1:])
            for k, v in signatures[name].structured_outputs.items()
        }
        assert outputs == further | {
            "color_probabilities": (tf.float32, [3]),
            "color_top_labels": (tf.string, [3]),
            "color_top_scores": (tf.float32, [3]),
            "tags_probabilities": (tf.float32, [2]),
            "light_value": (tf.float32, []),
        }
    assert not (exported / "assets" / "labels.txt").exists()
    told = json.loads((exported / "assets" / "tasks.json").read_text(encoding="utf-8"))
    assert [task["name"] for task in told] == ["color", "tags", "light"]


def test_exported_model_predicts_as_the_run(exported: Path, run: Run, data: Path) -> None:
    files = [data.with_name(f"{number:02d}.png") for number in range(6)]
    for ours, theirs in zip(run.predict(files), predict(exported.parent, files), strict=True):
        for name, own in ours.tasks.items():
            other = theirs.tasks[name]
            assert other.classes == own.classes
            assert other.probabilities == pytest.approx(own.probabilities, abs=1e-5)
            assert other.value == (own.value and pytest.approx(own.value, rel=1e-5))


def test_empty_batch_has_empty_predictions(served: Any) -> None:
    serve = served.signatures["serving_bytes"]
    shapes = {k: tuple(v.shape) for k, v in serve(image_bytes=tf.constant([], tf.string)).items()}
    assert shapes["light_value"] == (0,)
    assert shapes["tags_probabilities"] == (0, 2)


WRONG = [
    ("light", 0.01, r"same numbers within 1e-05; received .* by serving_bytes, task 'light'"),
    ("tags", 2e-5, r"same probabilities .* received 2e-05 apart by serving_bytes, task 'tags'"),
    ("color", 2e-5, r"2e-05 apart by serving_bytes, task 'color', most for .*{image}"),
]


def test_gate_holds_every_task_to_the_run(run: Run, checked_export: CheckedExport) -> None:
    folder, files, arrays = checked_export
    model, transform = run.load_model(), run.recipe.input.preprocessing
    batch = np.stack([transform(file.read_bytes()) for file in files]).astype(np.float32)
    own = model.predict_on_batch(batch)
    with answering(arrays):
        check_savedmodel(folder, files, own, run.tasks)
        for task, change, message in WRONG:
            predictions = {name: value.copy() for name, value in own.items()}
            predictions[task][2] += change
            with pytest.raises(ExportError, match=message.replace("{image}", files[2].name)):
                check_savedmodel(folder, files, predictions, run.tasks)


def test_damaged_tasks_are_refused_in_one_line(
    exported: Path, run: Run, data: Path, tmp_path: Path
) -> None:
    image = data.with_name("00.png")
    model = shutil.copytree(exported, tmp_path / "model")
    told = json.loads((model / "assets" / "tasks.json").read_text(encoding="utf-8"))
    for values, message in [
        ([*told[:1], told[1] | {"class_names": ["bar"]}], "does not fit its model; expected 2 cl"),
        ([told[0] | {"name": "other"}], "expected an output other_probabilities; received color_"),
        ([told[0] | {"kind": "riddle"}], "is damaged: not the values of a task"),
    ]:
        (model / "assets" / "tasks.json").write_text(json.dumps(values), encoding="utf-8")
        with pytest.raises(RunError, match=message):
            predict(model, [image], trust=True)
    copy = shutil.copytree(run.path, tmp_path / "run")
    for values, message in [
        (told[:2], "do not belong together; expected color_probabilities of 3, tags_prob"),
        ([told[0], {"name": 3}], "damaged: not the values of a task"),
        ([], "do not belong together"),
    ]:
        (copy / "labels.json").write_text(json.dumps(values), encoding="utf-8")
        with pytest.raises(RunError, match=message):
            Run.open(copy).load_model()


def test_one_task_alone_may_have_a_name(data: Path, tmp_path: Path) -> None:
    recipe = Recipe.from_settings(TINY, {"tasks": {"light": NUMBER}, "train": {"epochs": 1}})
    run = train(data, recipe, out=tmp_path / "run")
    assert list(run.metrics["val"]["tasks"]) == ["light"]
    assert list(run.predict([data.with_name("00.png")])[0].tasks) == ["light"]


def test_blocks_are_unfrozen_for_several_tasks_too(run: Run, data: Path, tmp_path: Path) -> None:
    settings = {"fine_tune": {"blocks": 1, "epochs": 1}, "train": {"epochs": 1}}
    recipe = Recipe.from_settings(run.recipe.model_dump(exclude_none=True), settings)
    tuned = train(data, recipe, out=tmp_path / "run")
    with (tuned.path / "history.csv").open(newline="") as file:
        assert [row["phase"] for row in csv.DictReader(file)] == ["head", "fine_tune"]
    layers = {"hidden1", "color_hidden1", "color_logits", "tags_logits", "light_logits"}
    assert set(tuned.head_weights["layers"]) == layers


def test_another_column_is_another_recipe_and_other_data(
    run: Run, data: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run.path, tmp_path / "run")
    (copy / "metrics.json").unlink()
    changed = data.read_text(encoding="utf-8").replace("frame", "rim")
    moved = tmp_path / "data"
    shutil.copytree(data.parent, moved)
    (moved / "table.csv").write_text(changed, encoding="utf-8")
    text = (copy / "recipe.toml").read_text(encoding="utf-8")
    (copy / "recipe.toml").write_text(
        text.replace(str(data), str(moved / "table.csv")), encoding="utf-8"
    )
    with pytest.raises(RunError, match=r"are not those .* was started with"):
        train(None, out=copy, resume=True)
    recipe = Recipe.from_toml(run.recipe_file)
    other = recipe.tasks["light"].model_copy(update={"weight": 2.0})
    tasks = {**recipe.tasks, "light": other}
    with pytest.raises(RunError, match=r"tasks\.light\.weight = 2\.0, not 0\.5"):
        train(None, recipe.model_copy(update={"tasks": tasks}), out=run.path, resume=True)


def test_pretraining_refuses_tasks(tmp_path: Path) -> None:
    recipe = Recipe.from_settings({"tasks": {"a": {}}})
    with pytest.raises(RecipeError, match=r"learns from classes alone; expected no \[tasks\]"):
        pretrain("textures", recipe, out=tmp_path / "run")
