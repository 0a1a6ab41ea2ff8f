"""Backbones from KerasHub through train, reload, predict and export, by every engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from pipelines.cli.main import run_command
from pipelines.features.engines.catalog import ENGINES
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.training.train import train
from tests.support.kerashub_presets import SIZE, write_preset
from zoo.errors import InputError, RecipeError
from zoo.export import fresh_process

pytestmark = pytest.mark.train

CONVERTER: dict[str, Any] = {"image_size": (SIZE, SIZE), "scale": 1 / 127.5, "offset": -1.0}
RECIPE: dict[str, Any] = {
    "input": {"batch_size": 8},
    "head": {"hidden": [8]},
    "train": {"epochs": 3},
    "augment": {"policy": "none"},
    "features": {"engine": "keras"},
}
NAMES = (
    "ViTBackbone",
    "ResNetBackbone",
    pytest.param("DINOV2Backbone", marks=pytest.mark.slow),
    pytest.param("SigLIPBackbone", marks=pytest.mark.slow),
)
ALL = os.environ.get("ZOO_ALL_ROWS")
# What follows features does not depend on whether they were tokens or a map.
of_tokens = pytest.mark.parametrize(
    "preset", NAMES if ALL else (NAMES[0], *NAMES[2:]), indirect=True
)
# Nor do saving and training on images depend on which tokens there are.
of_one = pytest.mark.parametrize("preset", NAMES if ALL else NAMES[:1], indirect=True)


@pytest.fixture(scope="module", params=NAMES)
def preset(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random preset of each kind of output."""
    folder = tmp_path_factory.mktemp("presets") / request.param
    return write_preset(folder, request.param, converter=CONVERTER)


@pytest.fixture(scope="module")
def run(preset: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on it, trained on features."""
    recipe = Recipe.from_settings({**RECIPE, "backbone": {"name": f"kerashub:{preset}"}})
    return train(tiny_folder, recipe, out=tmp_path_factory.mktemp("runs") / "run")


def network_of(model: Any) -> Any:
    """Returns KerasHub's network inside a classifier."""
    (backbone,) = (layer for layer in model.layers if layer.name.startswith("kerashub_"))
    return backbone.get_layer("network")


def own_weights(preset: Path) -> list[Any]:
    """Returns the weights of a preset as KerasHub loads them."""
    network = keras_hub.models.Backbone.from_preset(str(preset))
    return [np.asarray(w) for w in getattr(network, "vision_encoder", network).weights]


def assert_unchanged(model: Any, preset: Path) -> None:
    received = [np.asarray(weight) for weight in network_of(model).weights]
    expected = own_weights(preset)
    assert len(received) == len(expected) > 3
    for ours, own in zip(received, expected, strict=True):
        np.testing.assert_array_equal(ours, own)


def test_training_changes_no_weight_of_the_network(run: Run, preset: Path) -> None:
    assert_unchanged(run.model, preset)
    assert run.recipe.backbone.frozen
    assert run.recipe.features.use
    assert run.recipe.backbone.name == f"kerashub:{preset.resolve()}"


@of_one
def test_without_features_training_changes_no_weight_either(
    preset: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    settings = {"backbone": {"name": f"kerashub:{preset}"}, "features": {"use": False}}
    recipe = Recipe.from_settings({**RECIPE, **settings, "train": {"epochs": 1}})
    run = train(tiny_folder, recipe, out=tmp_path / "run")
    assert_unchanged(run.model, preset)


@of_one
def test_model_loads_in_a_fresh_process(run: Run, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np; from pipelines.serving.run import Run;"
        "model = Run.open(sys.argv[1]).model;"
        "np.save('predictions.npy', model.predict_on_batch(np.load('images.npy')))"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(run.path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    received = np.load(tmp_path / "predictions.npy")
    np.testing.assert_allclose(received, run.model.predict_on_batch(images), atol=1e-6)
    again = keras.models.load_model(run.path / "model.keras", compile=False)
    np.testing.assert_array_equal(
        again.predict_on_batch(images), run.model.predict_on_batch(images)
    )


@of_tokens
def test_savedmodel_needs_neither_kerashub_nor_the_preset(
    run: Run, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = (*fresh_process.PACKAGES, "keras_hub")
    monkeypatch.setattr(fresh_process, "PACKAGES", absent)
    # Compares it with the run, in a fresh process in which these packages are absent.
    version = run.export(tmp_path / "saved")
    assert not [path for path in version.rglob("*") if path.suffix in (".h5", ".keras")]
    files = sorted(tiny_folder.rglob("*.jpg"))[:6]
    serve = tf.saved_model.load(str(version)).signatures["serving_bytes"]
    served = serve(image_bytes=tf.constant([file.read_bytes() for file in files]))
    for row, prediction in zip(served["probabilities"].numpy(), run.predict(files), strict=True):
        assert row.max() == pytest.approx(prediction.probability, abs=1e-5)


@of_tokens
@pytest.mark.parametrize("engine", [name for name in ENGINES if name not in ("auto", "keras")])
def test_other_engines_compute_the_same_features(
    engine: str, run: Run, preset: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    # An engine is compared with Keras before it is used, and fails where it differs.
    settings = {"backbone": {"name": f"kerashub:{preset}"}, "features": {"engine": engine}}
    recipe = Recipe.from_settings({**RECIPE, **settings})
    other = train(tiny_folder, recipe, out=tmp_path / "run")
    assert other.recipe.features.engine == engine
    assert other.metrics["val"]["accuracy"] == pytest.approx(
        run.metrics["val"]["accuracy"], abs=0.35
    )


@pytest.mark.slow
def test_fine_tuning_unfreezes_the_whole_network(tiny_folder: Path, tmp_path: Path) -> None:
    preset = write_preset(tmp_path / "preset", "ViTBackbone", converter=CONVERTER)
    settings = {
        **RECIPE,
        "backbone": {"name": f"kerashub:{preset}"},
        "train": {"epochs": 1},
        "fine_tune": {"blocks": 1, "epochs": 1, "learning_rate": 0.001},
    }
    run = train(tiny_folder, Recipe.from_settings(settings), out=tmp_path / "run")
    received = [np.asarray(weight) for weight in network_of(run.model).weights]
    changed = [np.any(a != b) for a, b in zip(received, own_weights(preset), strict=True)]
    assert np.mean(changed) > 0.9
    settings["fine_tune"] = {"blocks": 2}
    with pytest.raises(RecipeError, match=r"fine_tune\.blocks from 0 to 1; received 2"):
        train(tiny_folder, Recipe.from_settings(settings), out=tmp_path / "never")


def test_command_line_trains_predicts_and_refuses_pretraining(
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_preset(tmp_path / "vit", "ViTBackbone", converter=CONVERTER)
    options = ["--backbone", "kerashub:vit", "--set", "train.epochs=1"]
    options += ["--set=augment.policy=none", "--set=penalty.name=none"]
    assert run_command(["train", str(tiny_folder), "--out", "run", *options]) == 0
    monkeypatch.chdir(tmp_path.parent)
    image = str(next(tiny_folder.rglob("*.jpg")))
    assert run_command(["predict", str(tmp_path / "run"), image]) == 0
    assert image in capsys.readouterr().out
    pretrain = ["pretrain", str(tiny_folder), "--out", str(tmp_path / "never")]
    assert run_command([*pretrain, "--set", f"backbone.name=kerashub:{tmp_path / 'vit'}"]) == 2
    assert "expected backbone.name = one of them" in capsys.readouterr().err


@pytest.mark.parametrize("preset", NAMES[:1], indirect=True)
def test_run_without_kerashub_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.storage.model_file import load_model

    tasks = run.tasks
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(InputError, match="needs KerasHub, which is not installed"):
        load_model(run.path / "model.keras", tasks)
