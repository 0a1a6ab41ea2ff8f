"""Fine-tuning on maps: the weights of fine-tuning from images, for less work."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipelines.features.engines.network import MAPS, build_map_network
from pipelines.input_pipeline.datasets import build_views_dataset
from pipelines.recipe.extractor import build_extractor
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import prepare_devices
from pipelines.search.tune import tune
from pipelines.serving.run import Run
from pipelines.sources.opening.dataset import open_source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.train import train
from pipelines.training.trainer import Trainer
from tests.support.checkpoints import copying_checkpoints
from tests.support.tiny import TINY
from tests.support.two_devices import run_on_two_devices
from zoo.errors import RecipeError, WeightsError
from zoo.models.classifier import build_classifier
from zoo.models.cut import CutBackbone

pytestmark = pytest.mark.train

SMALL: dict[str, Any] = {
    "train": {"epochs": 1},
    "fine_tune": {"blocks": 2, "epochs": 2, "learning_rate": 0.02},
    "features": {"engine": "keras"},
}
PLAIN: dict[str, Any] = {"augment": {"policy": "none"}}
# Views for every epoch.
AUGMENTED: dict[str, Any] = {"features": {"engine": "keras", "views": 1}}


def _train(folder: Path, out: Path, maps: str, *layers: dict[str, Any]) -> Run:
    chosen = {"fine_tune": {"maps": maps}}
    return train(folder, Recipe.from_settings(TINY, SMALL, *layers, chosen), out=out)


def _weights(run: Run) -> list[Any]:
    weights: list[Any] = run.load_model().get_weights()
    return weights


def _history(run: Run) -> list[dict[str, str]]:
    with (run.path / "history.csv").open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k != "wall_s"} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"fine_tune": {"gradual": 1, "block_decay": 0.5}, "train": {"class_weights": "balanced"}},
        pytest.param(
            {
                "train": {"oversample": "balanced"},
                "head": {"pooling": "concatenated"},
                "backbone": {"levels": 2},
                "optimizer": {"name": "adam", "ema": 0.5},
            },
            marks=pytest.mark.slow,
        ),
    ],
    ids=["as usual", "block by block", "whatever the head and the steps"],
)
def test_maps_give_the_weights_of_images(
    layer: dict[str, Any], tiny_folder: Path, tmp_path: Path
) -> None:
    """Without augmentation, every epoch shows the same images both ways."""
    runs = [_train(tiny_folder, tmp_path / m, m, PLAIN, layer) for m in ("float32", "none")]
    assert [row["phase"] for row in _history(runs[0])] == ["head", "fine_tune", "fine_tune"]
    _check_same_training(runs, 3)


def _check_same_training(runs: Sequence[Run], epochs: int) -> None:
    """Compares weights, and the losses of every epoch: the best weights may be those before."""
    for ours, theirs in zip(*map(_weights, runs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    losses = [[float(row["loss"]) for row in _history(run)] for run in runs]
    assert len(set(losses[0])) == epochs
    np.testing.assert_allclose(*losses, rtol=1e-3)


@pytest.mark.slow
def test_maps_serve_several_tasks(tiny_folder: Path, tmp_path: Path) -> None:
    files = sorted(tiny_folder.rglob("*.jpg"))
    table = tmp_path / "table.csv"
    rows = [f"{file},{file.parent.name},{number % 7}" for number, file in enumerate(files)]
    table.write_text("\n".join(("path,color,size", *rows)), encoding="utf-8")
    tasks = {"color": {"kind": "single_label"}, "size": {"kind": "regression", "weight": 0.1}}
    runs = [_train(table, tmp_path / m, m, PLAIN, {"tasks": tasks}) for m in ("float32", "none")]
    _check_same_training(runs, 3)


@pytest.mark.slow
def test_maps_serve_two_devices(tiny_folder: Path, tmp_path: Path) -> None:
    settings = {**TINY, **SMALL, **PLAIN}
    chosen = [f"{s}.{k}={json.dumps(v)}" for s, of in settings.items() for k, v in of.items()]
    runs = []
    for maps in ("float32", "none"):
        arguments = ["train", str(tiny_folder), "--out", str(tmp_path / maps)]
        arguments += [f"--set={setting}" for setting in (*chosen, f"fine_tune.maps={maps}")]
        said = run_on_two_devices(arguments)
        assert "2 × CPU" in said
        assert ("maps of" in said) == (maps == "float32")
        runs.append(Run.open(tmp_path / maps))
    _check_same_training(runs, 3)


@pytest.mark.slow
def test_folds_of_a_search_share_maps_and_score_as_images_do(
    tiny_folder: Path, tmp_path: Path
) -> None:
    scores = []
    for maps in ("float32", "none"):
        layers = SMALL, PLAIN, {"fine_tune": {"maps": maps}}
        run = tune(
            tiny_folder,
            Recipe.from_settings(TINY, *layers),
            out=tmp_path / maps,
            trials=2,
            folds=2,
            space={"fine_tune.learning_rate": [0.02, 0.002]},
        )
        scores.append([(t["score"], t["loss"]) for t in run.search["trials"]])
    np.testing.assert_allclose(*scores, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_maps_are_those_of_each_view(dtype: str, tiny_folder: Path) -> None:
    recipe = Recipe.from_settings(TINY, AUGMENTED).resolve()
    examples = open_source(str(tiny_folder)).train
    classifier = build_classifier("micro_resnet_s", 3, size=32, frozen=True)
    cut = CutBackbone(classifier, "micro_resnet_s", 1)  # two tensors cross it
    extractor = build_extractor(recipe, build_map_network(*cut.lower_maps(), dtype))
    maps = extractor.extract(examples, num_views=1)
    assert maps.dtype == dtype
    lower = keras.Model(*cut.lower_maps())
    keys = (examples.binary_digests[:, :8].copy().view(">u8")[:, 0] >> 4).astype(np.int64)
    for view in (0, 1):
        images = build_views_dataset(
            examples,
            recipe.input.preprocessing,
            recipe.augment,
            seed=recipe.seed,
            views=[view],
            batch_size=len(examples),
            image_keys=keys,
            axes=None,
        )
        (pixels,) = images.as_numpy_iterator()
        found = [np.asarray(one).reshape(len(pixels), -1) for one in lower(pixels, training=False)]
        expected = np.concatenate(found, axis=1)
        received = maps.read(MAPS, views=view)
        assert received.dtype == dtype
        tolerance = 1e-5 if dtype == "float32" else 2**-10
        np.testing.assert_allclose(received, expected, rtol=tolerance, atol=1e-5)


def test_half_precision_changes_little_and_is_what_is_taken(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = AUGMENTED, {"fine_tune": {"learning_rate": 0.001}}
    runs = [_train(tiny_folder, tmp_path / m, m, *layers) for m in ("float32", "auto")]
    assert runs[1].recipe.fine_tune.maps == "float16"
    said = capsys.readouterr().err
    assert "fine-tuning the top 2 of the backbone on 66 maps of 3×3×128, 0.145 MiB: " in said
    losses = [run.metrics["train"]["loss"] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=0.03)
    assert not all(map(np.array_equal, *map(_weights, runs)))
    # The same command once more, with the maps in the cache.
    again = _train(tiny_folder, tmp_path / "again", "auto", *layers)
    assert "maps of" in (said := capsys.readouterr().err)
    assert "computing features" not in said
    assert all(map(np.array_equal, _weights(again), _weights(runs[1])))
    assert again.metrics["train"] == runs[1].metrics["train"]


@pytest.mark.parametrize("epochs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_killed_run_goes_on_with_the_maps_it_had(
    epochs: int, tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = Recipe.from_settings(TINY, SMALL, AUGMENTED, {"fine_tune": {"gradual": 1}})
    with copying_checkpoints(tmp_path / "after"):
        whole = train(tiny_folder, recipe, out=tmp_path / "whole")
    shutil.copytree(tmp_path / "after" / str(epochs), tmp_path / "run")
    resumed = train(tiny_folder, recipe, out=tmp_path / "run", resume=True)
    assert all(map(np.array_equal, _weights(resumed), _weights(whole)))
    assert _history(resumed) == _history(whole)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ({}, "maps would need 5 views, and there are 2 epochs"),
        ({"features": {"cache_gib": 1e-6, "views": 1}}, "maps would take 0.0 GiB of the 1e-06"),
        ({**PLAIN, "fine_tune": {"blocks": 10}}, "nothing below the unfrozen blocks"),
        ({**PLAIN, "backbone": {"symmetry": "mirror"}}, "nothing below the unfrozen blocks"),
    ],
    ids=["too few epochs", "too large", "all blocks", "a symmetry"],
)
def test_images_are_taken_where_maps_do_not_pay_or_fit(
    layer: dict[str, Any],
    reason: str,
    tiny_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = Recipe.from_settings(TINY, SMALL, layer).resolve()
    source = open_source(str(tiny_folder), recipe.data, seed=recipe.seed)
    devices = prepare_devices(recipe.device, on_images=recipe.trains_on_images)
    prepared = Trainer(recipe, source, devices, folder=RunFolder(tmp_path / "run")).prepare()
    assert f"fine-tuning takes images in every epoch: {reason}" in capsys.readouterr().err
    assert prepared.fine_tune.maps == "none"


@pytest.mark.parametrize(
    ("layer", "pattern"),
    [
        ({"features": {"use": False}}, "needs features of single images"),
        ({"backbone": {"symmetry": "mirror"}}, "needs features of single images"),
        ({"fine_tune": {"blocks": 10}}, "has nothing below its top 10 blocks"),
    ],
    ids=["images", "a symmetry", "all blocks"],
)
def test_maps_are_refused_where_there_can_be_none(
    layer: dict[str, Any], pattern: str, tiny_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=pattern):
        _train(tiny_folder, tmp_path / "run", "float16", layer)
    assert not (tmp_path / "run").exists()


def test_numbers_too_large_for_half_precision_are_refused(tiny_folder: Path) -> None:
    classifier = build_classifier("micro_resnet_s", 3, size=32, frozen=True)
    cut = CutBackbone(classifier, "micro_resnet_s", 1)
    images, maps = cut.lower_maps()
    recipe = Recipe.from_settings(TINY, AUGMENTED).resolve()
    network = build_map_network(images, [1e6 * one for one in maps], "float16")
    with pytest.raises(WeightsError, match=r"not finite; .* inf; .* fine_tune\.maps=float32"):
        build_extractor(recipe, network).extract(open_source(str(tiny_folder)).train, 0)
