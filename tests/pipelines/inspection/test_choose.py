"""`zoo choose`, from images to the last line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import transfer_zoo as tz
from pipelines.cli.main import run_command
from tests.support.tiny import write_images
from zoo.errors import DataError, InputError

NAME = "micro_resnet_s.cifar10"
BACKBONE = ["--backbone", NAME]

# Any connection is an error.
OFFLINE = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError(f"{event} {arguments}")
sys.addaudithook(refuse)
from pipelines.cli.main import main
main()
"""


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _without_speed(ranking: dict[str, Any]) -> dict[str, Any]:
    rows = [{k: v for k, v in row.items() if k != "images_per_s"} for row in ranking["ranking"]]
    return {**ranking, "ranking": rows}


@pytest.mark.slow
@pytest.mark.train
def test_same_command_gives_the_same_ranking_offline(
    tiny_folder: Path, tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["choose", str(tiny_folder), *BACKBONE, "--folds", "3", "--json"]
    picture = tmp_path / "ranking.png"
    finished = subprocess.run(
        [sys.executable, "-c", OFFLINE, *command, "--picture", str(picture)],
        env={**os.environ, "ZOO_CACHE": str(tmp_path / "other")},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    ranking = json.loads(finished.stdout)
    with Image.open(picture) as image:
        image.load()
        assert image.format == "PNG"

    assert (ranking["num_images"], ranking["num_classes"], ranking["num_folds"]) == (36, 3, 3)
    variants = {(row["backbone"], row["truncate_blocks"]) for row in ranking["ranking"]}
    assert variants == {(NAME, cut) for cut in (0, 2, 3)}
    for row in ranking["ranking"]:
        low, high = row["accuracy_interval"]
        assert 0 <= low <= row["accuracy"] <= high <= 1
        assert row["log_loss"] > 0
        assert row["images_per_s"] > 0
        assert row["license"] == "Apache-2.0"
        assert row["multiply_adds"] > row["num_parameters"] > 0
        assert row["engine"] == "keras"
    order = [(-row["accuracy"], row["log_loss"]) for row in ranking["ranking"]]
    assert order == sorted(order)
    first = ranking["ranking"][0]
    assert (first["p_value"], first["log_loss_interval"], first["worse_in"]) == (1, [0, 0], [])
    # The colors of `tiny_folder` are easy to tell apart.
    assert first["accuracy"] > 0.9
    assert ranking["take"]["options"].startswith("--backbone micro_resnet_")
    assert ranking["left_out"] == ranking["to_fetch"] == []

    assert run_command(command) == 0
    assert _without_speed(json.loads(capsys.readouterr().out)) == _without_speed(ranking)


@pytest.mark.train
def test_table_ends_with_the_one_to_take(
    tiny_folder: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*BACKBONE, "--folds", "3", "--truncations", "0", "--all"]
    assert run_command(["choose", str(tiny_folder), *arguments]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].startswith("backbone ")
    assert lines[1].startswith("micro_resnet_s.cifar10")
    assert " first " in lines[1]
    assert lines[-1].startswith("take --backbone micro_resnet_s.cifar10: it is the most accurate")
    (absent,) = (line for line in lines if line.startswith("resnet50.imagenet "))
    assert "25.6" in absent or "23.6" in absent
    assert "left out" not in captured.err


@pytest.mark.train
def test_features_are_computed_once_and_test_images_never(
    tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, count in (("train", 6), ("val", 3), ("test", 4)):
        write_images(tmp_path / "photos" / split, count, seed=count)
    options = {"backbones": [NAME], "folds": 3, "truncations": 0}
    ranking = tz.choose(tmp_path / "photos", **options)
    assert ranking.num_images == 3 * (6 + 3)
    assert "computing features: 27 views" in capsys.readouterr().err
    subset = tz.choose(tmp_path / "photos", **options, max_images=18)
    assert subset.num_images == 18
    assert "computing features" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.train
def test_backbone_that_fails_is_left_out_unless_it_was_named(
    tmp_path: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "squeezenet1_1.imagenet"
    file = tmp_path / tz.weights[name].file
    file.write_bytes(b"not these weights")
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path))
    # Of the shipped ones, only MicroResNet takes images this small.
    settings = {"input": {"size": 32}}
    data = write_images(tmp_path / "data", 4)
    ranking = tz.choose(data, settings=settings, folds=3, truncations=0)
    left_out = {failed.backbone: failed.reason for failed in ranking.left_out}
    assert "is not the file of" in left_out[name] or "too small" in left_out[name]
    assert f"left out {name}" in capsys.readouterr().err
    assert {row.variant.backbone for row in ranking.rows}.isdisjoint(left_out)
    arguments = ["choose", str(data), "--backbone", name, "--folds", "3"]
    assert run_command(arguments) == 2
    assert "is not the file of" in capsys.readouterr().err


def test_wrong_options_raise_before_anything_is_computed(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--folds of at least 2; received 1"):
        tz.choose(tiny_folder, folds=1)
    with pytest.raises(InputError, match="is a folder"):
        tz.choose(tiny_folder, picture=tmp_path)
    with pytest.raises(DataError, match=r"fewer images than there are folds.*lower --folds"):
        tz.choose(tiny_folder, backbones=[NAME], folds=13)
    tasks = {"tasks": {"color": {}, "size": {}}, "stopping": {"monitor": "val_loss"}}
    with pytest.raises(InputError, match="one class for each image"):
        tz.choose(tiny_folder, backbones=[NAME], settings=tasks)
