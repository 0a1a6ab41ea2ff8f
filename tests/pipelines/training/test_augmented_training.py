"""Training with every kind of augmentation: it repeats, resumes, and validates without any."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation.evaluate import evaluate
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.training.train import train
from tests.pipelines.training.test_train import _same
from tests.support.checkpoints import copying_checkpoints
from tests.support.tiny import TINY

pytestmark = pytest.mark.train

EVERYTHING = "strong|median_blur|bilateral_blur|choose(1, mixup(0.4), cutmix)"
# Trained throughout, so that every image goes through the network in every epoch.
THROUGHOUT: dict[str, Any] = {"backbone": {"frozen": False}, "train": {"epochs": 2}}


def _recipe(policy: str = EVERYTHING, **layer: Any) -> Recipe:
    return Recipe.from_settings(TINY, THROUGHOUT, {"augment": {"policy": policy}}, layer)


@pytest.fixture(scope="module")
def augmented_run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run, and beside its folder, in `after`, what is there after its epochs."""
    out = tmp_path_factory.mktemp("runs") / "augmented"
    with copying_checkpoints(out.with_name("after")):
        return train(tiny_folder, _recipe(), out=out)


def test_killed_run_resumes_to_the_very_same_weights_from_memory_and_from_files(
    augmented_run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    shutil.copytree(augmented_run.path.with_name("after") / "1", out)
    assert not (out / "model.keras").exists()
    # The second epoch decodes the files anew, of which the first one had the pixels in memory.
    assert augmented_run.recipe.input.cache_mib > 0
    from_files = Recipe.from_toml(augmented_run.recipe_file).override({"input.cache_mib": 0})
    (out / "recipe.toml").write_text(from_files.to_toml(), encoding="utf-8")
    assert _same(train(None, out=out, resume=True), augmented_run)


def test_another_policy_is_said_aloud_and_gives_other_weights(
    augmented_run: Run, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = train(tiny_folder, _recipe("photo"), out=tmp_path / "other")
    assert "\naugmentation photo: flip_lr(0.5)|crop(" in capsys.readouterr().err
    assert not _same(other, augmented_run)
    # It trains throughout, and no feature is computed ahead.
    assert other.recipe.features.use is False
    assert other.timing["extract_s"] == 0


def test_nothing_is_drawn_at_random_where_a_model_is_measured(
    augmented_run: Run, tiny_folder: Path
) -> None:
    first, again = (evaluate(augmented_run, tiny_folder, split="val")["val"] for _ in range(2))
    assert first == again
    assert first["loss"] == pytest.approx(augmented_run.metrics["val"]["loss"], rel=1e-5)


def test_recipe_of_the_run_spells_the_policy_out(augmented_run: Run) -> None:
    assert augmented_run.recipe.augment == _recipe().resolve().augment
    assert 'name = "perspective"' in augmented_run.recipe_file.read_text(encoding="utf-8")


TWO_DEVICES = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pathlib import Path
from pipelines.recipe.recipe import Recipe
from pipelines.training.train import train
from tests.support.checkpoints import copying_checkpoints
recipe, out, after = map(Path, sys.argv[1:])
with copying_checkpoints(after):
    run = train(None, Recipe.from_toml(recipe), out=out, resume=True)
print(run.device)
"""


@pytest.mark.slow
def test_killed_run_on_two_devices_resumes_to_the_very_same_weights(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """A network in training: its batch normalization moves on both devices."""
    recipe, whole, after = tmp_path / "recipe.toml", tmp_path / "whole", tmp_path / "after"
    settings = {"data": {"source": str(tiny_folder)}}
    recipe.write_text(_recipe(**settings).resolve().to_toml(), encoding="utf-8")
    for out, copies in ((whole, after), (after / "1", tmp_path / "others")):
        done = subprocess.run(
            [sys.executable, "-c", TWO_DEVICES, recipe, out, copies],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("2 × CPU")
    assert _same(Run.open(after / "1"), Run.open(whole))


@pytest.mark.slow
def test_tensorflows_renderer_trains_like_opencvs(
    augmented_run: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = _recipe(augment={"policy": EVERYTHING, "renderer": "tensorflow"})
    other = train(tiny_folder, recipe, out=tmp_path / "tensorflow")
    ours, theirs = (_losses(run) for run in (augmented_run, other))
    # The same draws to within a step of 255: what two epochs of training saw is alike.
    assert len(ours) == 2
    assert theirs == pytest.approx(ours, rel=0.03)


def _losses(run: Run) -> list[float]:
    with (run.path / "history.csv").open(encoding="utf-8", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]
