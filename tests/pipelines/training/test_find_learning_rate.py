"""Finding a learning rate: what is printed and drawn, and that a run can follow."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.cli.main import run_command
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.training.find_learning_rate import find_learning_rate
from pipelines.training.train import train
from tests.support.tiny import TINY

pytestmark = pytest.mark.train


@pytest.mark.slow
def test_rate_is_printed_and_the_curve_drawn(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    settings = ["backbone.name=micro_resnet_s", "backbone.frozen=true", "input.size=32"]
    settings += ["input.batch_size=8", "train.epochs=1"]
    arguments = ["train", str(tiny_folder), "--out", str(out)]
    arguments += [f"--set={setting}" for setting in settings]
    assert run_command([*arguments, "--find-lr"]) == 0
    printed = capsys.readouterr().out.strip()
    path, _, rate = printed.partition("=")
    assert path == "optimizer.learning_rate"
    with (out / "find_lr.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rates = np.array([float(row["learning_rate"]) for row in rows])
    np.testing.assert_allclose(np.diff(np.log(rates)), np.log(10) * 7 / 99, rtol=1e-3)
    assert rates[0] < float(rate) < rates[-1]
    with Image.open(out / "find_lr.png") as picture:
        assert picture.width > 600
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 50
    # What was printed is a setting, and the folder is free for the run.
    assert run_command([*arguments, "--set", printed]) == 0
    assert Run.open(out).recipe.optimizer.learning_rate == pytest.approx(float(rate))
    assert (out / "find_lr.png").exists()


def test_finished_run_is_left_as_it_is(tiny_run: Run, tmp_path: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in tiny_run.path.rglob("*")}
    find_learning_rate(None, tiny_run.recipe, out=tmp_path / "found")
    assert {p: p.stat().st_mtime_ns for p in tiny_run.path.rglob("*")} == before


@pytest.mark.slow
def test_suggested_rate_learns(tmp_path: Path) -> None:
    layers = [TINY, {"head": {"hidden": [64]}, "input": {"batch_size": 32}}]
    layers += [{"augment": {"policy": "none"}}]
    rate = find_learning_rate("digits", Recipe.from_settings(*layers), out=tmp_path).suggestion
    accuracies = {}
    for factor in (1, 0.02):
        recipe = Recipe.from_settings(*layers, {"optimizer": {"learning_rate": rate * factor}})
        run = train("digits", recipe, out=tmp_path / f"run{factor}")
        accuracies[factor] = run.metrics["val"]["accuracy"]
    assert accuracies[1] > accuracies[0.02] + 0.1
