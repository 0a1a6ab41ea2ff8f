"""Shipped networks: the file is the one its card describes, and its features stay the same."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipelines.recipe.recipe import Recipe
from zoo.backbones.catalog import WEIGHTS, build_backbone
from zoo.errors import UnknownNameError, WeightsError
from zoo.files import sha256_of
from zoo.models.pretrained import find_classifier, list_classifiers, load_pretrained
from zoo.weights.archive import read_card
from zoo.weights.fetch import fetch
from zoo.weights.row import Weights

SHIPPED = [row for row in WEIGHTS.values() if row.shipped]
TRAINED_HERE = [row for row in SHIPPED if row.data == "CIFAR-10"]
FOLDER = Path(__file__).parents[3] / "zoo" / "pretrained"

# Sums of the features of one fixed image. They may change only together with a file,
# when a network is trained anew; never to make a test pass after a change of code.
GOLDEN = {
    "micro_resnet_s.cifar10": 532.1042,
    "micro_resnet_m.cifar10": 785.9936,
    "micro_resnet_l.cifar10": 1390.3058,
}


def test_three_sizes_of_each_family_are_shipped() -> None:
    assert [row.name for row in TRAINED_HERE] == list(GOLDEN)
    # Their golden logits are in tests/zoo/pretrained/test_efficientnet_lite_weights.py.
    others = [row.name for row in SHIPPED if row not in TRAINED_HERE]
    assert others == [f"efficientnet_lite{scale}.imagenet" for scale in range(3)]


@pytest.mark.parametrize("row", SHIPPED, ids=lambda row: row.name)
def test_file_is_that_of_the_row_and_small(row: Weights) -> None:
    path = fetch(row)
    assert sha256_of(path) == row.sha256
    assert path.stat().st_size < (5_000_000 if row in TRAINED_HERE else 12_000_000)


@pytest.mark.parametrize("row", TRAINED_HERE, ids=lambda row: row.name)
def test_forward_pass_is_what_it_was(row: Weights) -> None:
    image = (np.arange(32 * 32 * 3) * 37 % 256).reshape(1, 32, 32, 3) / 127.5 - 1
    features = np.asarray(build_backbone(row.name, 32)(image.astype(np.float32)))
    assert features.sum(dtype=np.float64) == pytest.approx(GOLDEN[row.name], rel=1e-4)


@pytest.mark.parametrize("row", SHIPPED, ids=lambda row: row.name)
def test_card_row_and_page_say_the_same(row: Weights) -> None:
    card = read_card(fetch(row))
    page = (FOLDER / f"{row.name}.md").read_text(encoding="utf-8")
    assert row.top1 == pytest.approx(card.accuracy, abs=1e-9)
    assert (card.data, card.preprocessing.size) == (row.data, row.input_size)
    for text in (row.sha256, f"{card.accuracy:.4f}", row.license, "Limits", "Command: `"):
        assert text in page


@pytest.mark.parametrize("row", TRAINED_HERE, ids=lambda row: row.name)
def test_card_holds_the_recipe_of_the_repository(row: Weights) -> None:
    card = read_card(fetch(row))
    assert "zoo pretrain" in (FOLDER / f"{row.name}.md").read_text(encoding="utf-8")
    recipe = Recipe.from_toml(FOLDER / f"{row.name}.toml").resolve()
    kept = Recipe.from_settings(tomllib.loads(card.recipe)).resolve()
    assert recipe == kept.model_copy(update={"seed": recipe.seed})


@pytest.mark.slow
@pytest.mark.parametrize("row", TRAINED_HERE, ids=lambda row: row.name)
def test_accuracy_is_that_of_the_card(row: Weights, shared: Path) -> None:
    from PIL import Image

    classifier, card = load_pretrained(fetch(row))
    images, labels = [], []
    with tarfile.open(shared / "data" / "cifar10.tar.gz") as archive:
        for member in archive:
            parts = Path(member.name).parts
            # Every fifth image of the test split.
            if parts[-3:-2] == ("test",) and member.isfile() and int(Path(parts[-1]).stem) % 5 == 0:
                file = archive.extractfile(member)
                assert file is not None
                images.append(np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB")))
                labels.append(card.class_names.index(parts[-2]))
    assert len(images) == 2000
    predicted = classifier.predict(np.stack(images).astype(np.float32), verbose=0).argmax(axis=1)
    # Three standard deviations of 2,000 draws without replacement from 10,000.
    spread = 3 * np.sqrt(card.accuracy * (1 - card.accuracy) / 2000 * 0.8)
    assert np.mean(predicted == labels) == pytest.approx(card.accuracy, abs=spread)


@pytest.mark.slow
def test_wheel_holds_the_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    root = FOLDER.parents[1]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(root)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for row in SHIPPED:
        for ending in ("npz", "md", "toml") if row in TRAINED_HERE else ("npz", "md"):
            assert f"zoo/pretrained/{row.name}.{ending}" in names
    assert {f"pipelines/sources/signs/signs.{ending}" for ending in ("zip", "md")} <= names
    assert [name for name in names if name.endswith("/licenses/NOTICE")]
    assert wheel.stat().st_size <= 40_000_000


def test_classifiers_are_the_networks_that_are_shipped() -> None:
    assert list_classifiers() == [row.name for row in SHIPPED]


@pytest.mark.parametrize("row", WEIGHTS.values(), ids=lambda row: row.name)
def test_network_is_found_by_name_if_it_has_a_top(row: Weights) -> None:
    if row.has_top:
        assert find_classifier(row.name) is row
        assert read_card(fetch(row)).class_names
    else:
        with pytest.raises(WeightsError, match="its file has no top layer; expected a network"):
            find_classifier(row.name)


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite3", "micro_resnet_m"])
def test_architecture_alone_predicts_nothing(name: str) -> None:
    pattern = f"{name} predicts no classes, since its weights are random; .*lite2.imagenet; t"
    with pytest.raises(WeightsError, match=pattern) as caught:
        find_classifier(name)
    own = f"take {name}.cifar10" if name == "micro_resnet_m" else "zoo train DATA --backbone"
    assert own in str(caught.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("efficientnet_lite0.imagnet", "efficientnet_lite0.imagenet"),
        ("efficientnet_lite_0.imagenet", "efficientnet_lite0.imagenet"),
        ("resnet-50", "resnet50"),
    ],
)
def test_near_miss_is_met_with_names(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=f"Did you mean '{near}'"):
        find_classifier(name)


def test_path_is_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet50").mkdir()
    for path in ("runs/photos", "photos", "saved_models/resnet50.imagenet", "resnet50", "", "."):
        assert find_classifier(path) is None
    with pytest.raises(WeightsError, match=r"none\.npz cannot be read as a pretrained network"):
        find_classifier("none.npz")
