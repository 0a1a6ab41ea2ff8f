"""Pretraining without labels: what is learned, shipped, resumed and refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.cli.main import run_command
from pipelines.evaluation.evaluate import evaluate
from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.pretraining.corruption import corrupt
from pipelines.pretraining.pretrain import pretrain
from pipelines.recipe.pretraining import METHODS, PretrainingConfig
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.sources.opening.dataset import open_source
from pipelines.storage.checkpoint import Checkpoint
from pipelines.storage.run_folder import RunFolder
from pipelines.training.train import train
from zoo.backbones.catalog import BACKBONES, build_backbone
from zoo.errors import DataError, RecipeError, RunError, UnknownNameError, WeightsError
from zoo.weights.archive import read_archive, read_card

pytestmark = pytest.mark.train

UNLABELED = [name for name, method in METHODS.items() if not method.labeled]
SETTINGS: dict[str, dict[str, Any]] = {
    "autoencoder": {
        "backbone": {"name": "micro_resnet_s"},
        "input": {"batch_size": 8},
        "train": {"epochs": 6},
        "augment": {"policy": "flip_lr"},
    },
    "rbm": {
        "data": {"train_per_class": 40},
        "input": {"size": 8, "batch_size": 8},
        "optimizer": {"learning_rate": 0.05},
        "train": {"epochs": 16},
    },
}


def _recipe(method: str, *layers: Any) -> Recipe:
    preset = Recipe.from_preset(METHODS[method].preset).model_dump(mode="json", exclude_none=True)
    return Recipe.from_settings(preset, SETTINGS[method], *layers)


@pytest.fixture(scope="module", params=UNLABELED)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def heap(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of all classes in one folder: nobody has sorted them."""
    folder = tmp_path_factory.mktemp("data") / "heap"
    for image in sorted(tiny_folder.glob("*/*.jpg")):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, folder / f"{image.parent.name}_{image.name}")
    return folder


@pytest.fixture(scope="module")
def data(method: str, heap: Path) -> str:
    """What there is to learn: machines see no more than where the ink is."""
    return "digits" if method == "rbm" else str(heap)


@pytest.fixture(scope="module")
def pretrained(method: str, data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = pretrain(data, _recipe(method), out=tmp_path_factory.mktemp("runs") / method)
    return run.pretrained_file


def _pixels(data: str | Path, recipe: Recipe, split: str) -> Any:
    source = open_source(str(data), recipe.data, seed=recipe.seed, labeled=False)
    batches = build_image_dataset(source.splits[split], recipe.input.preprocessing, 64)
    return np.concatenate(list(batches.as_numpy_iterator())) / np.float32(255)


def test_network_restores_better_than_the_mean_image(pretrained: Path, data: str) -> None:
    recipe = Run(pretrained.parent).recipe
    card = read_card(pretrained)
    assert card.restoration_error is not None
    seen, judged = (_pixels(data, recipe, split) for split in ("train", "val"))
    guess = float(np.sqrt(np.mean(np.square(judged - seen.mean(axis=0)))))
    assert card.num_images == len(judged)
    assert card.restoration_error < 0.95 * guess
    assert card.restoration_error == Run(pretrained.parent).metrics["val"]["restoration_error"]


def test_card_says_that_no_label_was_read(method: str, pretrained: Path) -> None:
    card = read_card(pretrained)
    assert (card.class_names, card.accuracy, card.split) == ((), None, "val")
    assert f'method = "{method}"' in card.recipe
    page = (pretrained.parent / "card.md").read_text(encoding="utf-8")
    for text in ("labels not used", f"{card.restoration_error:.4f}", "SHA-256", "[pretraining]"):
        assert text in page
    size = card.preprocessing.size
    assert f"{BACKBONES[card.backbone].build(size).count_params():,}" in page


def test_others_start_from_the_file(
    method: str, pretrained: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    card = read_card(pretrained)
    layer = {
        "backbone": {"name": str(pretrained), "levels": 1},
        "input": {"size": card.preprocessing.size, "batch_size": 8},
        "train": {"epochs": 1},
        "augment": {"policy": "none"},
        "penalty": {"name": "none"},
        "features": {"engine": "keras"},
    }
    run = train(tiny_folder, Recipe.from_settings(layer), out=tmp_path / "run")
    kept = run.load_model().get_layer(card.backbone).get_weights()
    expected = build_backbone(str(pretrained), card.preprocessing.size).get_weights()
    for one, other in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_run_and_file_say_that_they_answer_nothing(pretrained: Path, tiny_folder: Path) -> None:
    with pytest.raises(RunError, match=r"without labels, and no classifier; train one on it"):
        evaluate(pretrained.parent, tiny_folder)
    with pytest.raises(WeightsError, match=r"trained without labels, so it predicts no classes"):
        evaluate(pretrained, tiny_folder)


def test_finished_run_is_left_as_it_is(method: str, pretrained: Path, data: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in pretrained.parent.iterdir()}
    again = pretrain(data, _recipe(method), out=pretrained.parent, resume=True)
    assert again.pretrained_file == pretrained
    assert {path: path.stat().st_mtime_ns for path in pretrained.parent.iterdir()} == before
    with pytest.raises(RunError, match="already holds a run"):
        pretrain(data, _recipe(method), out=pretrained.parent)


SHORT: dict[str, tuple[dict[str, Any], int]] = {
    "autoencoder": ({"train": {"epochs": 3}}, 2),
    # In its second layer.
    "rbm": ({"data": {"train_per_class": 8}, "train": {"epochs": 3}}, 5),
}
"""Settings of a short run, and the checkpoint after which it is stopped."""


@pytest.mark.slow
def test_interrupted_run_ends_with_the_very_same_weights(
    method: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, stop_after = SHORT[method]
    recipe = _recipe(method, layer)
    whole_run = pretrain(data, recipe, out=tmp_path / "whole")
    save, written = RunFolder.save_checkpoint, 0

    def save_and_stop(self: RunFolder, checkpoint: Checkpoint) -> None:
        nonlocal written
        save(self, checkpoint)
        written += 1
        if written == stop_after:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "save_checkpoint", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain(data, recipe, out=out)
    assert not (out / "pretrained.npz").exists()
    resumed = pretrain(data, recipe, out=out, resume=True)
    with np.load(resumed.pretrained_file) as ours, np.load(whole_run.pretrained_file) as whole:
        for name in set(whole.files) - {"card"}:
            np.testing.assert_array_equal(ours[name], whole[name])
    assert resumed.metrics["val"] == whole_run.metrics["val"]


def test_boltzmann_layers_are_those_of_the_network(tmp_path: Path, heap: Path) -> None:
    run = pretrain(heap, _recipe("rbm", {"train": {"epochs": 1}}), out=tmp_path / "run")
    _, arrays = read_archive(run.pretrained_file)
    pixels = _pixels(heap, run.recipe, "val")
    hidden = pixels.reshape(len(pixels), -1).astype(np.float64)
    for number in (1, 2, 3):
        kernel, bias = arrays[f"hidden{number}/kernel"], arrays[f"hidden{number}/bias"]
        hidden = 1 / (1 + np.exp(-(hidden @ kernel.astype(np.float64) + bias)))
    network = build_backbone(str(run.pretrained_file), 8)
    features = network.predict(pixels * 255, verbose=0)
    assert features.shape[1:] == (1, 1, 512)
    np.testing.assert_allclose(features[:, 0, 0], hidden, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer", "message"),
    [
        (
            "autoencoder",
            {"augment": {"policy": "mixup"}},
            "cannot restore two images",
        ),
        ("autoencoder", {"stopping": {"monitor": "val_accuracy"}}, "no accuracy to monitor"),
        ("autoencoder", {"backbone": {"frozen": True}}, r"backbone\.frozen = True"),
        ("autoencoder", {"input": {"normalization": "center"}}, "normalization = 'center'"),
        ("autoencoder", {"tasks": {"a": {}}}, "learns from images alone"),
        ("rbm", {"backbone": {"name": "micro_resnet_s"}, "input": {"size": 32}}, "dense layers"),
        ("rbm", {"augment": {"policy": "flip_lr"}}, "images without augmentation"),
        ("rbm", {"optimizer": {"name": "adam"}}, "plain gradient steps"),
    ],
)
def test_what_a_method_cannot_do_is_refused(
    name: str, layer: Any, message: str, heap: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        pretrain(heap, _recipe(name, layer), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_sorted_or_not_the_same_images_are_read(
    heap: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = _recipe("autoencoder")
    one_class = tmp_path / "one_class"
    shutil.copytree(heap, one_class / "any")
    digests = []
    for folder in (heap, one_class, tiny_folder):
        source = open_source(str(folder), recipe.data, labeled=False)
        digests.append(sorted(d for part in source.splits.values() for d in part.digests))
    assert digests[0] == digests[1] == digests[2]
    assert len(digests[0]) == 36


def test_heap_is_no_data_set_to_train_on(heap: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no labeled image"):
        train(heap, Recipe.from_settings(SETTINGS["autoencoder"]), out=tmp_path / "run")


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("none")
    with pytest.raises(DataError, match=r"no image in '.*empty'; expected files with"):
        pretrain(tmp_path / "empty", _recipe("autoencoder"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_refuses_a_recipe_without_labels(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"received 'rbm'; zoo pretrain DATA"):
        train(tiny_folder, _recipe("rbm"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_command_takes_the_preset_of_its_method_and_resumes_by_the_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    few = ("train.epochs=1", "data.train_per_class=4", "input.size=8")
    settings = [argument for setting in few for argument in ("--set", setting)]
    command = ["pretrain", "digits", "--method", "rbm", "--out", str(out), *settings]
    assert run_command(command) == 0
    assert capsys.readouterr().out.strip() == str(out / "pretrained.npz")
    recipe = Run(out).recipe
    assert (recipe.pretraining.method, recipe.optimizer.name) == ("rbm", "sgd")
    assert recipe.backbone.name == "deep_belief_network"
    assert run_command(["pretrain", "--out", str(out), "--resume"]) == 0
    assert "finished already" in capsys.readouterr().err
    assert run_command([*command[:2], "--method", "rmb", "--out", str(tmp_path / "x")]) == 2
    assert "Did you mean 'rbm'?" in capsys.readouterr().err


def test_unknown_method_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'autoencoder'"):
        Recipe.from_settings({"pretraining": {"method": "autoencodr"}})


def _corrupted(images: Any, *, first: int = 0, seed: int = 0, **settings: Any) -> list[Any]:
    batches = tf.data.Dataset.from_tensor_slices((images, np.zeros(len(images)))).batch(8)
    config = PretrainingConfig(**settings)
    return list(corrupt(batches, config, seed=seed, first=first).as_numpy_iterator())


IMAGES = np.random.default_rng(0).integers(60, 200, (32, 32, 32, 3)).astype(np.uint8)


def test_corruption_of_zero_keeps_the_image() -> None:
    for number, (corrupted, target) in enumerate(
        _corrupted(IMAGES, noise_std=0.0, masked_fraction=0.0)
    ):
        batch = IMAGES[8 * number : 8 * number + 8].astype(np.float32)
        np.testing.assert_array_equal(corrupted, batch)
        np.testing.assert_allclose(target, batch / 255, rtol=1e-6)


def test_weights_of_images_are_those_of_all_their_pixels() -> None:
    weights = np.arange(32, dtype=np.float32)
    batches = tf.data.Dataset.from_tensor_slices((IMAGES, np.zeros(32), weights)).batch(8)
    corrupted = corrupt(batches, PretrainingConfig(), seed=0)
    for number, (_, target, each) in enumerate(corrupted.as_numpy_iterator()):
        np.testing.assert_array_equal(each[:, 0, 0], weights[8 * number : 8 * number + 8])
        assert np.broadcast_shapes(each.shape, target.shape[:3]) == target.shape[:3]


def test_masked_squares_show_the_mean_color() -> None:
    corrupted = np.concatenate(
        [s for s, _ in _corrupted(IMAGES, noise_std=0.0, masked_fraction=0.3)]
    )
    changed = (corrupted != IMAGES).any(axis=-1)
    squares = changed.reshape(32, 8, 4, 8, 4).mean(axis=(2, 4))
    # A square is hidden or not, as a whole, but for pixels that are the mean themselves.
    assert ((squares < 0.01) | (squares > 0.9)).all()
    # 2,048 squares: the standard deviation of their share is 0.010.
    assert abs((squares > 0.9).mean() - 0.3) < 0.04
    mean = IMAGES.astype(np.float64).mean(axis=(1, 2), keepdims=True)
    covered = np.where(changed[..., None], corrupted - mean, 0)
    assert np.abs(covered).max() < 1e-3


def test_noise_is_gaussian_with_the_given_deviation() -> None:
    corrupted = np.concatenate(
        [s for s, _ in _corrupted(IMAGES, noise_std=0.1, masked_fraction=0.0)]
    )
    noise = (corrupted - IMAGES).ravel() / 255
    assert abs(noise.mean()) < 0.002
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    assert (np.abs(noise) < 0.1).mean() == pytest.approx(0.6827, abs=0.01)


def test_draws_depend_on_seed_and_number_alone() -> None:
    whole = _corrupted(IMAGES)
    later = _corrupted(IMAGES[16:], first=2)
    for (one, _), (other, _) in zip(whole[2:], later, strict=True):
        np.testing.assert_array_equal(one, other)
    first, second = (s for s, _ in _corrupted(np.concatenate([IMAGES[:8], IMAGES[:8]])))
    assert (first != second).any()
    assert (_corrupted(IMAGES, seed=1)[0][0] != whole[0][0]).any()
