"""Training: the run it leaves, what it refuses, and that it repeats exactly."""

from __future__ import annotations

import csv
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.evaluation.evaluate import evaluate
from pipelines.input_pipeline.label_tensors import compute_balanced_weights
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.sources.opening.dataset import open_source
from pipelines.training.train import train
from tests.support.tiny import TINY
from tests.support.two_devices import run_on_two_devices
from zoo.errors import DataError, RecipeError, RunError, TrainingError, WeightsError

pytestmark = pytest.mark.train


def _recipe(**layer: Any) -> Recipe:
    return Recipe.from_settings(TINY, layer)


def _weights(run: Run) -> list[np.ndarray]:
    return list(run.load_model().get_weights())


def _history(run: Run) -> list[dict[str, str]]:
    with (run.path / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _best_loss(run: Run) -> float:
    """The validation loss of the epoch with the best accuracy."""
    rows = [(-float(row["val_accuracy"]), float(row["val_loss"])) for row in _history(run)]
    return min(rows)[1]


def _same(one: Run, other: Run) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(_weights(one), _weights(other), strict=True))


def test_run_holds_what_the_contract_names(tiny_run: Run) -> None:
    files = {path.name for path in tiny_run.path.iterdir()}
    expected = {"recipe.toml", "metrics.json", "history.csv", "model.keras", "labels.json"}
    assert expected <= files
    assert not [name for name in files if name.startswith(".")], "no temporary is left"
    metrics = tiny_run.metrics
    assert list(metrics) == ["train", "val"]
    assert {"accuracy", "loss", "macro_f1"} <= set(metrics["val"])
    assert {"wall_s", "fit_s"} <= set(tiny_run.timing)
    assert tiny_run.images == {"train": 30, "val": 6, "skipped": 0}
    assert tiny_run.device == "CPU, float32"
    assert tiny_run.class_names == ("blue", "green", "red")
    assert metrics["val"]["accuracy"] > 0.6, "three colors are not hard to tell apart"
    assert any((tiny_run.path / "logs").rglob("events.out.tfevents*"))


def test_history_has_a_row_an_epoch(tiny_run: Run) -> None:
    rows = _history(tiny_run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    figures = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "wall_s")
    assert all(np.isfinite(float(row[name])) for row in rows for name in figures)


def test_recipe_of_a_run_repeats_it_exactly(tiny_run: Run, tmp_path: Path) -> None:
    again = train(None, Recipe.from_toml(tiny_run.recipe_file), out=tmp_path / "again")
    assert _same(again, tiny_run)
    assert again.metrics["val"] == tiny_run.metrics["val"]


def test_model_holds_the_best_weights_by_validation(tiny_run: Run) -> None:
    best = _best_loss(tiny_run)
    assert tiny_run.metrics["val"]["loss"] == pytest.approx(best, rel=1e-4)


def test_balanced_class_weights_are_their_formula_and_reach_the_loss(
    tiny_folder: Path, tmp_path: Path
) -> None:
    uneven = tmp_path / "uneven"
    shutil.copytree(tiny_folder, uneven)
    for file in sorted((uneven / "red").iterdir())[4:]:
        file.unlink()
    source = open_source(str(uneven))
    counts = np.bincount(source.train.labels)
    assert counts.tolist() == [10, 10, 3]
    weights = compute_balanced_weights(source.train, source.tasks[0])
    np.testing.assert_allclose(weights, 23 / (3 * counts), rtol=1e-6)
    runs = [
        train(uneven, _recipe(train={"epochs": 1, "class_weights": kind}), out=tmp_path / kind)
        for kind in ("none", "balanced")
    ]
    assert not _same(*runs)


def test_evaluate_repeats_the_figures_of_the_run_and_draws_a_picture(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    measured = evaluate(tiny_run.path, tiny_folder, picture=tmp_path / "answers.png")
    assert measured["val"]["confusion_matrix"] == tiny_run.metrics["val"]["confusion_matrix"]
    assert measured["val"]["loss"] == pytest.approx(tiny_run.metrics["val"]["loss"], rel=1e-6)
    with Image.open(tmp_path / "answers.png") as picture:
        assert picture.width > 600
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 1000, "no white page"


def test_evaluate_refuses_other_classes(tiny_run: Run, tiny_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_folder, other)
    (other / "red").rename(other / "violet")
    with pytest.raises(DataError, match=r"classes that the model does not know: violet"):
        evaluate(tiny_run, other)


def test_useless_fine_tuning_is_undone(tiny_run: Run, tiny_folder: Path, tmp_path: Path) -> None:
    # So large a step ruins the network; what is kept is the head's best.
    recipe = _recipe(fine_tune={"blocks": 2, "epochs": 1, "learning_rate": 9.0})
    run = train(tiny_folder, recipe, out=tmp_path / "ruined")
    assert _same(run, tiny_run)


def test_loss_that_is_no_number_is_an_error_and_leaves_no_model(
    tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = _recipe(
        optimizer={"name": "sgd", "learning_rate": 10.0},
        head={"hidden": [64] * 4, "batch_norm": False, "activation": "relu"},
        augment={"policy": "none"},
    )
    with pytest.raises(TrainingError, match=r"loss is not finite in epoch \d"):
        train(tiny_folder, recipe, out=tmp_path / "nan")
    assert not (tmp_path / "nan" / "model.keras").exists()


def test_directory_that_is_taken_is_left_alone(tiny_run: Run, tmp_path: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in tiny_run.path.rglob("*")}
    recipe = tiny_run.recipe
    with pytest.raises(RunError, match=r"already holds a run.*add --resume"):
        train(None, recipe, out=tiny_run.path)
    head = recipe.head.model_copy(update={"dropout": 0.1})
    changed = recipe.model_copy(update={"head": head})
    with pytest.raises(RunError, match=r"another recipe.*received head\.dropout = 0\.1, not 0\.5;"):
        train(None, changed, out=tiny_run.path, resume=True)
    assert {p: p.stat().st_mtime_ns for p in tiny_run.path.rglob("*")} == before
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match=r"exists and is no run; expected a new directory"):
        train(None, recipe, out=tmp_path)


def test_resuming_a_finished_run_returns_it(tiny_run: Run) -> None:
    before = tiny_run.model_file.stat().st_mtime_ns
    assert train(None, tiny_run.recipe, out=tiny_run.path, resume=True).metrics == tiny_run.metrics
    assert tiny_run.model_file.stat().st_mtime_ns == before


KILLED_AFTER = """
import os, signal, sys
from pathlib import Path
from pipelines.recipe.recipe import Recipe
from pipelines.storage.run_folder import RunFolder
from pipelines.training.train import train
save = RunFolder.save_checkpoint
def save_and_die(self, checkpoint):
    save(self, checkpoint)
    if checkpoint.epoch + 1 == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
RunFolder.save_checkpoint = save_and_die
train(None, Recipe.from_toml(Path(sys.argv[1])), out=sys.argv[2])
"""


def _interrupt_at(prefix: str, job: Callable[[], object]) -> None:
    """Runs a job that Ctrl-C ends at a line of its log."""

    class Interrupter(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith(prefix):
                raise KeyboardInterrupt

    interrupter, log = Interrupter(), logging.getLogger("pipelines")
    log.addHandler(interrupter)
    try:
        with pytest.raises(KeyboardInterrupt):
            job()
    finally:
        log.removeHandler(interrupter)


def test_run_that_was_killed_and_interrupted_ends_with_the_very_same_weights(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    before, after, out = tmp_path / "before", tmp_path / "after", tmp_path / "run"
    shutil.copytree(tiny_folder, before)
    recipe = tmp_path / "recipe.toml"
    moved = Recipe.from_toml(tiny_run.recipe_file).override({"data.source": str(before)})
    recipe.write_text(moved.to_toml(), encoding="utf-8")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER, recipe, out, "1"], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    # Another process finds the features of `tiny_run`.
    assert b"computing features" not in killed.stderr
    assert not (out / "model.keras").exists()
    with pytest.raises(RunError, match=r"has no model yet; finish it"):
        Run.open(out)
    # As a kill within a write leaves it.
    (out / "checkpoint" / ".last.0123abcd.npz").write_bytes(b"half of one")
    _interrupt_at("epoch 2", lambda: train(None, moved, out=out, resume=True))
    assert not (out / "model.keras").exists()

    # It goes on where its images are now, and where no others are; no setting is told again.
    before.rename(after)
    other = shutil.copytree(after, tmp_path / "other")
    shutil.copy(other / "red" / "000.jpg", other / "blue" / "000.jpg")
    with pytest.raises(RunError, match=r"are not those .* was started with"):
        train(other, out=out, resume=True)
    run = train(after, out=out, resume=True)
    assert run.recipe.source == str(after)
    assert _same(run, tiny_run)
    assert not list((out / "checkpoint").glob(".*"))
    ours, whole = (_history(run) for run in (run, tiny_run))
    for row in (*ours, *whole):
        del row["wall_s"]
    assert ours == whole
    assert run.timing["wall_s"] > run.timing["fit_s"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"fine_tune": {"blocks": 99}}, RecipeError, r"cannot unfreeze 99 blocks; expected"),
        (
            {"backbone": {"name": "vgg16.imagenet"}},
            WeightsError,
            r"ZOO_WEIGHTS is neither a folder nor a URL",
        ),
    ],
)
def test_what_cannot_work_is_found_before_anything_is_written(
    settings: dict[str, Any],
    error: type[Exception],
    message: str,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A folder that does not exist: no weights, and no way to a server is tried.
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(error, match=message):
        train(tiny_folder, _recipe(**settings), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_xla_compiles_where_the_recipe_asks_for_it(tiny_folder: Path, tmp_path: Path) -> None:
    settings = ["device.deterministic=false", "device.xla=true", "input.size=32", "train.epochs=1"]
    settings += ["backbone.name=micro_resnet_s", "input.batch_size=8"]
    code = (
        "import sys, keras\n"
        "fit = keras.Model.fit\n"
        "def seen(self, *a, **k): print('jit', self.jit_compile); return fit(self, *a, **k)\n"
        "keras.Model.fit = seen\n"
        "from pipelines.cli.main import run_command\n"
        "sys.exit(run_command(sys.argv[1:]))\n"
    )
    arguments = ["train", str(tiny_folder), "--out", str(tmp_path / "run")]
    arguments += [f"--set={setting}" for setting in settings]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "jit True" in done.stdout
    assert "support jit" not in done.stderr


@pytest.mark.slow
def test_killed_at_any_moment_resumes_to_the_very_same_weights(
    tiny_run: Run, tmp_path: Path
) -> None:
    command = [
        *(sys.executable, "-c", "from pipelines.cli.main import main; main()"),
        *("train", "--recipe", str(tiny_run.recipe_file), "--resume", "--out"),
    ]
    rng = np.random.default_rng(0)
    for number in range(4 if os.environ.get("ZOO_ALL_FAULTS") else 2):
        out = tmp_path / f"run{number}"
        process = subprocess.Popen([*command, str(out)], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        # From the first epoch on, when there is something to lose.
        for line in process.stderr:
            if line.startswith("epoch 1"):
                break
        time.sleep(float(rng.uniform(0, 1.0)))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert _same(train(None, tiny_run.recipe, out=out, resume=True), tiny_run)


def test_resume_refuses_other_images_and_needs_no_setting_told_again(
    tiny_folder: Path, tiny_run: Run, tmp_path: Path
) -> None:
    out, moved = tmp_path / "run", tmp_path / "colors"
    shutil.copytree(tiny_run.path, out)
    # A model without figures is no finished run: it is finished, from the checkpoint.
    (out / "metrics.json").unlink()
    shutil.copytree(tiny_folder, moved)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    (moved / "red").rename(moved / "violet")
    with pytest.raises(RunError, match=r"are not those .* was started with"):
        train(moved, _recipe(), out=out, resume=True)
    (moved / "violet").rename(moved / "red")
    Image.new("RGB", (40, 40)).save(next((moved / "red").iterdir()))
    with pytest.raises(RunError, match=r"are not those .* was started with"):
        train(moved, _recipe(), out=out, resume=True)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    again = train(None, out=out, resume=True)
    assert again.metrics["val"] == tiny_run.metrics["val"]
    assert _same(again, tiny_run)


@pytest.mark.slow
def test_mirrored_on_two_devices_learns_and_saves_a_plain_model(
    tiny_folder: Path, tmp_path: Path
) -> None:
    settings = ["input.size=32", "input.batch_size=8", "backbone.frozen=true", "train.epochs=3"]
    settings += ["head.hidden=[8]", "optimizer.learning_rate=0.05"]
    settings += ["fine_tune.blocks=1", "fine_tune.epochs=1"]
    settings += ["augment.policy=none", "penalty.name=none"]
    arguments = ["train", str(tiny_folder), "--out", str(tmp_path / "run")]
    arguments += ["--backbone", "micro_resnet_s", *(f"--set={setting}" for setting in settings)]
    assert "2 × CPU" in run_on_two_devices(arguments)
    run = Run.open(tmp_path / "run")
    assert run.metrics["val"]["accuracy"] > 0.6
    assert evaluate(run, tiny_folder)["val"]["loss"] == pytest.approx(
        run.metrics["val"]["loss"], rel=1e-5
    )


def test_mixed_precision_trains_and_saves_a_float32_model(
    tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = _recipe(
        train={"epochs": 1},
        device={"precision": "mixed_bfloat16"},
        augment={"policy": "none"},
    )
    run = train(tiny_folder, recipe, out=tmp_path / "mixed")
    model = run.load_model()
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert np.isfinite(run.metrics["val"]["loss"])


def test_metrics_are_json_that_anything_reads(tiny_run: Run) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = (tiny_run.path / "metrics.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=refuse)


def test_run_deleted_during_training_is_an_error(tiny_folder: Path, tmp_path: Path) -> None:
    class Remover(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("epoch 1"):
                shutil.rmtree(tmp_path / "run")

    remover = Remover()
    logging.getLogger("pipelines").addHandler(remover)
    try:
        with pytest.raises(TrainingError, match=r"run was removed or replaced while the job ran"):
            train(tiny_folder, _recipe(), out=tmp_path / "run")
    finally:
        logging.getLogger("pipelines").removeHandler(remover)
    assert not (tmp_path / "run" / "recipe.toml").exists()
