"""Training on Keras' JAX backend gives runs that TensorFlow evaluates to the same figures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.evaluation.evaluate import evaluate
from pipelines.serving.run import Run


@pytest.mark.slow
def test_run_trained_on_jax_evaluates_the_same_on_tensorflow(
    tiny_folder: Path, tmp_path: Path
) -> None:
    settings = ["input.size=32", "input.batch_size=8", "train.epochs=2", "optimizer.ema=0.9"]
    settings += ["schedule.name=cosine", "optimizer.learning_rate=0.05"]
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from pipelines.cli.main import main; main()"),
            *("pretrain", str(tiny_folder), "--backbone", "micro_resnet_s"),
            *("--out", str(tmp_path / "run"), *(f"--set={setting}" for setting in settings)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert done.returncode == 0, done.stderr
    run = Run.open(tmp_path / "run")
    measured = evaluate(run, tiny_folder)["val"]
    assert measured["loss"] == pytest.approx(run.metrics["val"]["loss"], rel=1e-4)
    assert measured["confusion_matrix"] == run.metrics["val"]["confusion_matrix"]
    # The weights file, written on JAX and read on TensorFlow.
    from_file = evaluate(str(tmp_path / "run" / "pretrained.npz"), tiny_folder, split="val")["val"]
    assert from_file["loss"] == pytest.approx(measured["loss"], rel=0.02)  # half precision


@pytest.mark.slow
def test_penalties_clipping_and_accumulation_work_on_jax(tiny_folder: Path, tmp_path: Path) -> None:
    settings = ["backbone.name=micro_resnet_s", "backbone.frozen=true", "input.size=32"]
    settings += ["input.batch_size=8", "head.hidden=[8]", "head.activation=rrelu"]
    settings += [
        "optimizer.name=adam",
        "optimizer.accumulation_steps=2",
        "optimizer.clip=global_norm",
    ]
    settings += ["penalty.name=elastic_net", "penalty.l1=0.05", "schedule.name=reduce_on_plateau"]
    settings += ["train.epochs=3", "stopping.every=2", "input.normalization=standardize"]
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from pipelines.cli.main import main; main()"),
            *("train", str(tiny_folder), "--out", str(tmp_path / "run")),
            *(f"--set={setting}" for setting in settings),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert done.returncode == 0, done.stderr
    run = Run.open(tmp_path / "run")
    assert run.head_weights["num_zeros"] > 0
    measured = evaluate(run, tiny_folder)["val"]
    assert measured["loss"] == pytest.approx(run.metrics["val"]["loss"], rel=1e-4)


@pytest.mark.slow
def test_several_tasks_train_on_jax(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        """
        backbone = { name = "micro_resnet_s", frozen = true }
        input = { size = 32, batch_size = 16 }
        data = { source = "digits", train_per_class = 6, val_fraction = 0.05 }
        train = { epochs = 2 }
        [tasks]
        digit = { column = "label", loss = "focal", class_weights = "balanced" }
        marks = { kind = "multi_label", column = "label", loss = "binary_focal" }
        value = { kind = "regression", column = "label", hidden = [8] }
        """,
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from pipelines.cli.main import main; main()"),
            *("train", "--recipe", str(recipe), "--out", str(tmp_path / "run")),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert done.returncode == 0, done.stderr
    run = Run.open(tmp_path / "run")
    measured = evaluate(run, "digits", split="val")["val"]["tasks"]
    for name, figure in (("digit", "loss"), ("marks", "loss"), ("value", "mae")):
        expected = run.metrics["val"]["tasks"][name][figure]
        assert measured[name][figure] == pytest.approx(expected, rel=1e-4)
