"""The two Python listings of the design, run as they stand but for data and backbone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import keras
import pytest

import transfer_zoo as tz
from tests.support.photographs import copy_some

# Keras warns of its own default `shuffle=True` whenever `fit` is given a tf.data.Dataset.
pytestmark = pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")


@dataclass(frozen=True)
class Example:
    """Images and sizes that a listing is run with.

    Args:
        data: The folder that becomes `photos/`.
        backbone: The backbone; of the photographs, the design's.
        size: The backbone's input size, in pixels.
        accuracy: Validation accuracy to exceed.
        epochs: Epochs of `fit`.
        trials: Trials of the search.
    """

    data: Path
    backbone: str
    size: int
    accuracy: float
    epochs: int
    trials: int


@pytest.fixture(
    params=[
        pytest.param("tiny", marks=pytest.mark.train),
        pytest.param("photographs", marks=pytest.mark.slow),
    ]
)
def example(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Example:
    """Three colors, or photographs of ants and bees, as `photos/` in the working folder."""
    monkeypatch.chdir(tmp_path)
    if request.param == "tiny":
        folder = request.getfixturevalue("tiny_folder")
        found = Example(folder, "micro_resnet_s.cifar10", 32, accuracy=0.6, epochs=20, trials=2)
    else:
        folder = request.getfixturevalue("photographs")
        backbone = "efficientnet_lite0.imagenet"
        found = Example(folder, backbone, 224, accuracy=0.9, epochs=5, trials=4)
    copy_some(found.data, tmp_path / "photos", 40)
    images = sorted(path for path in found.data.rglob("*.jpg") if "train" not in path.parts)
    (tmp_path / "new_photos").mkdir()
    for number, image in enumerate(images[:3]):
        shutil.copy(image, tmp_path / "new_photos" / f"{number}.jpg")
    return found


@pytest.mark.slow
def test_first_listing_trains_predicts_exports_and_tunes(example: Example) -> None:
    run = tz.train("photos/", backbone=example.backbone, out="runs/photos")
    assert run.metrics["val"]["accuracy"] > example.accuracy
    assert set(run.metrics) <= {"train", "val", "test"}
    assert run.timing["wall_s"] > run.timing["fit_s"] > 0
    labels = [prediction.label for prediction in run.predict("new_photos/")]
    assert len(labels) == 3
    assert set(labels) <= set(run.class_names)
    assert run.export("saved_models/photos") == Path("saved_models/photos/1")
    exported = tz.predict("saved_models/photos", "new_photos/")
    assert [prediction.label for prediction in exported] == labels
    assert isinstance(run.model, keras.Model)
    assert run.model is run.model
    measured = run.evaluate("photos/", split="val")["val"]
    assert measured["confusion_matrix"] == run.metrics["val"]["confusion_matrix"]

    recipe = tz.Recipe.for_data("photos/", head="modern").override({"head.dropout": 0.3})
    assert (recipe.optimizer.name, recipe.head.dropout) == ("adamw", 0.3)
    recipe = recipe.override({"backbone.name": example.backbone})
    best = tz.tune("photos/", recipe, trials=example.trials, out="runs/best")
    assert isinstance(best, tz.Run)
    assert len(best.search["trials"]) == example.trials
    assert best.search["best"]["score"] > example.accuracy


@pytest.mark.train
@pytest.mark.parametrize("example", ["tiny"], indirect=True)
def test_second_listing_compiles_and_fits_a_keras_model(example: Example) -> None:
    keras.utils.set_random_seed(0)
    data = tz.open_data("photos/", size=example.size, seed=0)
    model = tz.build_classifier(example.backbone, num_classes=data.num_classes)
    model.compile(
        tz.build_optimizer("adamw", learning_rate=1e-3),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(
        data.train.dataset(augment="flip_lr(0.5)|rotate(15)"),
        validation_data=data.val.dataset(),
        epochs=example.epochs,
        verbose=0,
    )
    assert model.evaluate(data.val.dataset(), verbose=0)[1] > example.accuracy
    assert tz.backbones["resnet50"].num_features == 2048
    # A model of Keras' own parts: it is loaded, optimizer included, without this project.
    model.save("model.keras")
    loaded = keras.models.load_model("model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
