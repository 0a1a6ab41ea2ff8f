"""Pretraining: the file it writes is measured as shipped, starts others, and is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.evaluation.evaluate import evaluate
from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.pretraining.pretrain import pretrain
from pipelines.recipe.recipe import Recipe
from pipelines.sources.opening.dataset import open_source
from pipelines.training.train import train
from zoo.backbones.catalog import BACKBONES, build_backbone, resolve
from zoo.backbones.micro_resnet import whiten
from zoo.errors import RecipeError, WeightsError
from zoo.models.pretrained import load_pretrained
from zoo.normalization import NORMALIZATIONS
from zoo.weights.archive import read_card

pytestmark = pytest.mark.train

SETTINGS: dict[str, Any] = {
    "backbone": {"name": "micro_resnet_s", "frozen": False},
    "input": {"size": 32, "batch_size": 8},
    "train": {"epochs": 2},
    "optimizer": {"learning_rate": 0.02, "ema": 0.9},
    "schedule": {"name": "cosine"},
}


@pytest.fixture(scope="module")
def pretrained(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "pretrained"
    return pretrain(tiny_folder, Recipe.from_settings(SETTINGS), out=out).pretrained_file


def test_card_says_where_it_comes_from_and_names_no_path(pretrained: Path) -> None:
    card = read_card(pretrained)
    assert card.backbone == "micro_resnet_s"
    assert card.class_names == ("blue", "green", "red")
    assert card.data == "colors"
    assert card.split == "val"
    page = (pretrained.parent / "card.md").read_text(encoding="utf-8")
    for text in (f"{card.accuracy:.4f}", "488,448", "SHA-256", "blue, green, red", "[optimizer]"):
        assert text in page
    assert str(pretrained.parents[2]) not in page + card.model_dump_json()


def test_file_is_half_the_weights(pretrained: Path) -> None:
    assert pretrained.stat().st_size < 488_448 * 2.2


def test_figures_of_the_card_are_those_of_the_file(pretrained: Path, tiny_folder: Path) -> None:
    measured = evaluate(str(pretrained), tiny_folder, split="val")
    assert list(measured) == ["val"]
    card = read_card(pretrained)
    assert measured["val"]["accuracy"] == card.accuracy
    assert measured["val"]["accuracy_interval"] == list(card.accuracy_interval)


def test_backbone_of_the_file_is_that_of_the_run(pretrained: Path) -> None:
    from pipelines.serving.run import Run

    ours = build_backbone(str(pretrained), 32)
    theirs = Run.open(pretrained.parent).load_model().get_layer("micro_resnet_s")
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        # Float16 has eleven bits: half a unit of the last is 2^-11 of the value.
        np.testing.assert_allclose(one, other, rtol=2**-11, atol=1e-7)
    classifier, _ = load_pretrained(pretrained)
    inner = classifier.get_layer("micro_resnet_s")
    for one, other in zip(ours.get_weights(), inner.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_first_layer_is_fitted_to_the_training_images_and_kept(
    pretrained: Path, tiny_folder: Path
) -> None:
    recipe = Recipe.from_toml(pretrained.parent / "recipe.toml")
    source = open_source(str(tiny_folder), recipe.data, seed=recipe.seed)
    images = build_image_dataset(source.train, recipe.input.preprocessing, 64)
    pixels = np.concatenate(list(images.as_numpy_iterator()))
    fresh = BACKBONES["micro_resnet_s"].build(32)
    normalized = NORMALIZATIONS["cifar10"].apply(pixels.astype(np.float32)).numpy()
    whiten(fresh, normalized)
    kept = build_backbone(str(pretrained), 32).get_layer("whiten").get_weights()[0]
    # Float16 has eleven bits.
    np.testing.assert_allclose(kept, fresh.get_layer("whiten").get_weights()[0], rtol=2**-11)


def test_file_is_a_backbone_to_start_from(
    pretrained: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    settings = {**SETTINGS, "backbone": {"name": str(pretrained)}, "train": {"epochs": 1}}
    nothing_to_measure = {"augment": {"policy": "none"}, "penalty": {"name": "none"}}
    recipe = Recipe.from_settings(settings, nothing_to_measure)
    assert recipe.resolve().backbone.frozen is True
    run = train(tiny_folder, recipe, out=tmp_path / "run")
    kept = run.load_model().get_layer("micro_resnet_s").get_weights()
    for one, other in zip(kept, build_backbone(str(pretrained), 32).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert resolve(str(pretrained))[0] is BACKBONES["micro_resnet_s"]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"head": {"hidden": [8]}}, r"received head\.hidden = \[8\]"),
        ({"head": {"pooling": "max"}}, r"received .* head\.pooling = 'max'"),
        ({"input": {"normalization": "center"}}, r"received .*input\.normalization = 'center'"),
    ],
)
def test_pretraining_refuses_what_it_could_not_ship(
    layer: Any, message: str, tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = Recipe.from_settings(SETTINGS, layer)
    with pytest.raises(RecipeError, match=message):
        pretrain(tiny_folder, recipe, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_file_that_is_none_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read as a pretrained network") as caught:
        build_backbone(str(file))
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == content


def test_file_of_another_architecture_is_refused(pretrained: Path) -> None:
    model = BACKBONES["micro_resnet_m"].build(32)
    before = model.get_weights()
    with pytest.raises(
        WeightsError, match=r"expected stage1_conv/kernel of shape \(3, 3, 24, 64\)"
    ):
        BACKBONES["micro_resnet_m"].load(model, pretrained)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
