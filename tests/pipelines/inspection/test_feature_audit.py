"""`zoo audit --backbone`, on images with planted label errors, near-duplicates and leaks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import transfer_zoo as tz
from pipelines.cli.main import run_command
from tests.support.planted import build_image, build_near_duplicates
from zoo.errors import RecipeError, UnknownNameError

BACKBONE = "micro_resnet_s.cifar10"
TINTS = {"cold": (90, 110, 190), "warm": (190, 110, 90)}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cold and warm images in train and val, with one of every kind of finding."""
    root = tmp_path_factory.mktemp("planted") / "set"

    def save(name: str, image: Image.Image) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)

    for first, (label, tint) in zip((0, 100), TINTS.items(), strict=True):
        for number in range(14):
            save(f"train/{label}/{number}.png", build_image(first + number, tint=tint))
        for number in range(14, 20):
            save(f"val/{label}/{number}.png", build_image(first + number, tint=tint))
    save("train/warm/liar.png", build_image(200, tint=TINTS["cold"]))
    twin, leak = (build_image(seed, tint=TINTS["cold"]) for seed in (3, 4))
    save("train/cold/twin.png", build_near_duplicates(twin)["mirrored"])
    save("val/cold/leak.jpg", build_near_duplicates(leak)["cropped at every edge"])
    save("val/warm/leak.png", build_image(105, tint=TINTS["warm"]))
    save("train/cold/white.png", Image.new("RGB", (120, 90), "white"))
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(cache))


def _audit(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run_command(["audit", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.train
def test_audit_by_a_backbone_finds_what_was_planted(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (str(planted), "--backbone", BACKBONE)
    status, out, err = _audit(capsys, *command, "--json")
    assert status == 1, err
    assert "computing features" in err
    found: dict[str, Any] = json.loads(out)

    assert found["duplicates"] == [
        ["train/cold/3.png", "train/cold/twin.png"],
        ["train/cold/4.png", "val/cold/leak.jpg"],
        ["train/warm/5.png", "val/warm/leak.png"],
    ]
    exact, cropped = found["leaks"]
    assert exact == {
        "image": "val/warm/leak.png",
        "split": "val",
        "twin": "train/warm/5.png",
        "twin_split": "train",
        "similarity": 1.0,
    }
    assert (cropped["image"], cropped["twin"]) == ("val/cold/leak.jpg", "train/cold/4.png")
    assert 0.5 < cropped["similarity"] < 1
    worst = found["label_errors"][0]
    assert worst["image"] == "train/warm/liar.png"
    assert (worst["split"], worst["label"], worst["suggested"]) == ("train", "warm", "cold")
    assert worst["likely"]
    scores = [error["score"] for error in found["label_errors"]]
    assert scores == sorted(scores)
    farthest = found["outliers"][0]
    assert (farthest["image"], farthest["split"]) == ("train/cold/white.png", "train")
    assert farthest["distance"] > 0
    assert found["leaking"] == [["train/warm/5.png", "val/warm/leak.png"]]
    assert found["backbone"] == BACKBONE
    assert found["groups"] == []
    curve = found["learning_curve"]
    assert curve["labels"] == sorted(curve["labels"])
    assert curve["next_labels"] == 2 * curve["labels"][-1]
    low, high = curve["next_interval"]
    assert 0 <= low <= curve["next_accuracy"] <= high <= 1

    status, out, err = _audit(capsys, *command)
    assert status == 1
    assert "computing features" not in err
    lines = out.splitlines()
    positions = [
        next(index for index, line in enumerate(lines) if line.startswith(start))
        for start in (
            "leak val/warm/leak.png: looks like train/warm/5.png, cosine 1.00",
            "leak val/cold/leak.jpg: looks like train/cold/4.png, cosine 0.",
            "2 images have a near-duplicate in an earlier split",
            "label error train/warm/liar.png: warm, looks like cold (score ",
            "near-duplicates: train/cold/3.png = train/cold/twin.png",
            "outlier train/cold/white.png: 1 color",
        )
    ]
    assert positions == sorted(positions)
    bought = f"with {curve['next_labels']} it would be for about {curve['next_accuracy']:.3f}"
    assert any(bought in line for line in lines)
    # Equal byte for byte: the audit of files has it.
    assert "in several splits: train/warm/5.png = val/warm/leak.png" in lines
    assert not [line for line in lines if line.startswith("near-duplicates: train/warm/5.png")]


@pytest.mark.train
def test_proposed_exclusion_removes_the_leaks(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shlex

    command = (str(planted), "--backbone", BACKBONE)
    _, out, _ = _audit(capsys, *command)
    (remedy,) = (line for line in out.splitlines() if "in an earlier split" in line)
    options = shlex.split(remedy[remedy.index("--set ") :])
    _, out, err = _audit(capsys, *command, *options, "--json")
    assert "computing features" not in err
    assert json.loads(out)["leaks"] == []


@pytest.mark.train
def test_images_that_their_owner_groups_are_listed(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (str(planted), "--backbone", BACKBONE, "--json")
    _, out, _ = _audit(capsys, *command, "--set", r"data.group=/(1[23])\.png")
    assert sorted(map(sorted, json.loads(out)["groups"])) == [
        [f"train/{label}/{number}.png" for label in TINTS] for number in (12, 13)
    ]


@pytest.mark.train
def test_doubted_labels_are_edited_in_a_table_and_fed_back(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "suspects.csv"
    command = (str(planted), "--backbone", BACKBONE)
    status, out, err = _audit(capsys, *command, "--json", "--suspects", str(file))
    assert status == 1, err
    errors = json.loads(out)["label_errors"]
    with file.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["path"], row["label"], row["suggested"], row["likely"]) for row in rows] == [
        (e["image"], e["label"], e["suggested"], "yes" if e["likely"] else "") for e in errors
    ]
    assert rows[0]["path"] == "train/warm/liar.png"

    written = file.read_bytes()
    status, _, err = _audit(capsys, *command, "--suspects", str(file))
    assert status == 2
    assert "may have been edited" in err
    assert file.read_bytes() == written, "not overwritten"
    assert _audit(capsys, str(planted), "--suspects", str(tmp_path / "other.csv"))[0] == 2

    plain, unchanged = (tz.open_data(planted, relabel=table).train for table in ("", file))
    assert [*unchanged.examples.labels] == [*plain.examples.labels]
    rows[0]["label"] = rows[0]["suggested"]
    with file.open("w", newline="") as table:
        writer = csv.DictWriter(table, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    _, out, _ = _audit(capsys, *command, "--json", "--set", f"data.relabel={file}")
    assert "train/warm/liar.png" not in {e["image"] for e in json.loads(out)["label_errors"]}


@pytest.mark.train
def test_unlabeled_images_have_duplicates_and_outliers_only(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in (planted / "train" / "cold").iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    found = tz.audit(tmp_path, backbone=BACKBONE)
    assert found.features is not None
    assert [group.images for group in found.features.duplicates] == [("3.png", "twin.png")]
    assert found.features.label_errors == found.features.leaks == ()
    assert "label errors are not looked for: the images have no labels" in found.lines()


def test_backbone_without_weights_is_refused_before_images_are_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"random weights.*micro_resnet_s\.cifar10"):
        tz.audit(tmp_path, backbone="micro_resnet_s")
    with pytest.raises(UnknownNameError, match=r"micro_resnet_s\.cifar10"):
        tz.audit(tmp_path, backbone="micro_resnet_s.cifar")
