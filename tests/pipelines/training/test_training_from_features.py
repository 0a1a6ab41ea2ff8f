"""Training a head from features: the same as through the whole model, and less work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.features.datasets import view_indices
from pipelines.input_pipeline.order import build_order
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.training.agreement import check_agreement
from pipelines.training.train import train
from tests.support.tiny import TINY, write_images
from zoo.errors import EngineError, RecipeError

pytestmark = pytest.mark.train

PLAIN: dict[str, Any] = {"augment": {"policy": "none"}}


def _train(folder: Path, out: Path, **layer: Any) -> Run:
    return train(folder, Recipe.from_settings(TINY, layer), out=out)


def _both(folder: Path, out: Path, **layer: Any) -> tuple[Run, Run]:
    """Trains from features, and through the whole model."""
    runs = [
        _train(folder, out / str(use), features={"use": use, "engine": "keras"}, **layer)
        for use in (True, False)
    ]
    return runs[0], runs[1]


def _check_same(one: Run, other: Run, tolerance: float = 1e-4) -> None:
    pairs = zip(one.load_model().get_weights(), other.load_model().get_weights(), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert one.metrics["val"]["loss"] == pytest.approx(other.metrics["val"]["loss"], rel=1e-3)
    assert one.metrics["train"]["loss"] == pytest.approx(other.metrics["train"]["loss"], rel=1e-3)


def test_weights_are_those_of_training_through_the_whole_model(
    tiny_folder: Path, tmp_path: Path
) -> None:
    layers = {
        "head": {"hidden": [8], "pooling": "concatenated", "dropout": 0.4, "input_dropout": 0.2},
        "train": {"class_weights": "balanced"},
    }
    from_features, whole = _both(tiny_folder, tmp_path, **PLAIN, **layers)
    _check_same(from_features, whole)
    history = [
        (run.path / "history.csv").read_text().splitlines() for run in (from_features, whole)
    ]
    assert len(history[0]) == len(history[1]) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer",
    [
        {"head": {"pooling": "max", "hidden": []}, "optimizer": {"name": "gradient_descent"}},
        {
            "backbone": {"truncate_blocks": 3},
            "fine_tune": {"blocks": 1, "epochs": 2, "learning_rate": 0.001},
        },
        {
            "optimizer": {"name": "adam", "learning_rate": 0.01, "ema": 0.5},
            "train": {"oversample": "balanced"},
            "schedule": {"name": "cosine"},
        },
    ],
    ids=["full batch", "lower blocks fine-tuned", "averaged and oversampled"],
)
def test_weights_are_those_of_the_whole_model_however_it_is_trained(
    layer: dict[str, Any], tiny_folder: Path, tmp_path: Path
) -> None:
    _check_same(*_both(tiny_folder, tmp_path, **PLAIN, **layer), tolerance=1e-3)


def test_second_run_finds_its_features_and_repeats_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_images(tmp_path / "data", 8, seed=3)
    first = _train(folder, tmp_path / "first", features={"views": 1})
    assert "computing features" in capsys.readouterr().err
    assert first.recipe.features.use is True
    assert first.recipe.features.engine == "keras", "what was chosen is in the recipe"
    assert 0 < first.timing["extract_s"] < first.timing["wall_s"]
    again = train(None, Recipe.from_toml(first.recipe_file), out=tmp_path / "again")
    assert "computing features" not in capsys.readouterr().err
    assert again.metrics == first.metrics
    for a, b in zip(
        first.load_model().get_weights(), again.load_model().get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_damaged_features_are_computed_again_and_change_no_weight(
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    short: dict[str, Any] = {"train": {"epochs": 1}, "features": {"views": 1}}
    undisturbed = _train(tiny_folder, tmp_path / "undisturbed", **short)
    shards = sorted((tmp_path / "cache").rglob("*.features"))
    kept = [file.read_bytes() for file in shards]
    for number, (file, content) in enumerate(zip(shards, kept, strict=True)):
        rows = np.frombuffer(content[: len(content) // 4 * 4], "<f4").copy()
        rows[-100:-1] *= -1  # the last one is the checksum
        flipped = bytearray(content)
        flipped[number] ^= 1
        file.write_bytes([rows.tobytes(), bytes(flipped), content[:-9]][number % 3])
    capsys.readouterr()
    run = _train(tiny_folder, tmp_path / "run", **short)
    assert "its features are computed again" in capsys.readouterr().err
    pairs = zip(run.load_model().get_weights(), undisturbed.load_model().get_weights(), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
    assert [file.read_bytes() for file in shards] == kept


def test_views_change_what_is_learned(tiny_run: Run, tiny_folder: Path, tmp_path: Path) -> None:
    assert tiny_run.recipe.features.views > 0
    none = _train(tiny_folder, tmp_path / "run", features={"views": 0})
    heads = [run.load_model().get_layer("logits").kernel.numpy() for run in (tiny_run, none)]
    assert not np.array_equal(*heads)


def test_image_takes_its_views_in_turn_and_in_an_order_of_its_own() -> None:
    count, num_views = 23, 5
    order = build_order(np.arange(count) % 3, count, seed=4)
    turns = np.full((2 * num_views, count), -1)
    for epoch in range(2 * num_views):
        keys = order.batch_keys(tf.constant(epoch, tf.int64))
        turns[epoch, keys.image_indices.numpy()] = view_indices(keys, num_views, 4).numpy()
    for image in range(count):
        assert sorted(turns[:num_views, image]) == list(range(num_views))
        assert sorted(turns[num_views:, image]) == list(range(num_views))
    assert len({tuple(column) for column in turns.T}) > 15, "orders differ between images"
    # No epoch shows much more of one view than of another.
    assert np.bincount(turns[0], minlength=num_views).max() < count / 2


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            {"backbone": {"frozen": False}, "features": {"use": True}},
            r"features need a frozen backbone, and this one trains from the start",
        ),
        (
            {"augment": {"policy": "mixup(0.2)"}, "features": {"use": True}},
            r"the policy blends images; expected features\.use = false, or a policy without mixup",
        ),
    ],
)
def test_features_that_cannot_be_had_are_refused(layer: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.from_settings(TINY, layer).resolve()


def test_policy_that_blends_images_is_trained_with_images() -> None:
    recipe = Recipe.from_settings(TINY, {"augment": {"policy": "mixup(0.2)"}}).resolve()
    assert recipe.features.use is False
    assert Recipe.from_settings(TINY).resolve().features.use is True


def test_head_that_answers_otherwise_than_the_whole_model_is_refused() -> None:
    answers = np.array([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
    check_agreement({"a": answers}, {"a": answers[:2] + 5e-4})
    check_agreement({"a": 100 * answers}, {"a": 100 * answers[:1] + 0.05})
    for whole in (answers[:2] + 5e-3, answers[:2] * np.nan):
        with pytest.raises(
            EngineError, match=r"predicts from features otherwise than the whole model"
        ):
            check_agreement({"a": answers}, {"a": whole})
