"""Images to label next: a table that, filled in, is a data set."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import transfer_zoo as tz
from pipelines.cli.main import run_command
from tests.support.tiny import write_images

BACKBONE = "micro_resnet_s.cifar10"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A few images of three colors with labels, and more without, copies of the few among them."""
    base = tmp_path_factory.mktemp("next")
    labeled = write_images(base / "labeled", 3)
    more = write_images(base / "more", 8, seed=1)
    (base / "unlabeled").mkdir()
    for number, file in enumerate(sorted([*more.rglob("*.jpg"), *labeled.rglob("*.jpg")])):
        shutil.copy(file, base / "unlabeled" / f"{file.parent.name}_{number}.jpg")
    return labeled, base / "unlabeled"


@pytest.mark.train
def test_table_is_filled_in_and_trained_on(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labeled, unlabeled = folders
    table = tmp_path / "tables" / "next.csv"
    command = ["audit", str(labeled), "--backbone", BACKBONE, "--unlabeled", str(unlabeled)]
    command += ["--next-labels", str(table), "--count", "9", "--json"]
    run_command(command)
    told = json.loads(capsys.readouterr().out)["next_labels"]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], row["label"]) for row in rows] == [(one["image"], "") for one in told]
    assert len(rows) == 9
    colors = [Path(row["path"]).name.partition("_")[0] for row in rows]
    assert set(colors) == {path.name for path in labeled.iterdir()}, "every kind is there"
    suggested = [row["suggested"] for row in rows]
    assert set(suggested) <= set(colors)
    assert sum(one == other for one, other in zip(suggested, colors, strict=True)) > 4
    assert all(0 < float(row["probability"]) <= 1 for row in rows)
    known = {file.read_bytes() for file in labeled.rglob("*.jpg")}
    assert not known & {Path(row["path"]).read_bytes() for row in rows}, "copies have a label"

    # Again, to another file: the same. Over the first one, which may be edited: not at all.
    written = table.read_bytes()
    assert run_command(command) == 2
    assert "may have been edited" in capsys.readouterr().err
    assert table.read_bytes() == written
    command[command.index(str(table))] = str(tmp_path / "again.csv")
    run_command(command)
    assert (tmp_path / "again.csv").read_bytes() == written

    for row, color in zip(rows, colors, strict=True):
        row["label"] = color
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    data = tz.open_data(table, val_fraction=0.34)
    assert list(data.class_names) == sorted(set(colors))
    assert len(data.train.examples) + len(data.val.examples) == 9


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["--unlabeled", "more"], "received --unlabeled alone; --next-labels next.csv"),
        (["--next-labels", "next.csv"], "received --next-labels alone; --unlabeled more/"),
    ],
    ids=["no table", "no images"],
)
def test_images_and_table_go_together(
    arguments: list[str],
    pattern: str,
    folders: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["audit", str(folders[0]), "--backbone", BACKBONE, *arguments]) == 2
    assert pattern in capsys.readouterr().err


def test_only_a_backbone_chooses(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labeled, unlabeled = folders
    options = ["--unlabeled", str(unlabeled), "--next-labels", str(tmp_path / "next.csv")]
    assert run_command(["audit", str(labeled), *options]) == 2
    assert "expected --backbone beside --next-labels" in capsys.readouterr().err


@pytest.mark.train
def test_images_that_all_have_a_label_are_none(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labeled, _ = folders
    options = ["--unlabeled", str(labeled), "--next-labels", str(tmp_path / "next.csv")]
    assert run_command(["audit", str(labeled), "--backbone", BACKBONE, *options]) == 2
    assert "has no image that the data set does not have" in capsys.readouterr().err
    assert not (tmp_path / "next.csv").exists()
