"""The commands of finished models: evaluate, predict and export, signed or not."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.cli.main import run_command
from pipelines.serving.run import Run
from tests.support.command_line import ZOO, fails
from tests.support.key_pairs import write_pair
from tests.support.tiny import write_images


def test_evaluate_prints_figures_for_people_and_as_json(
    tiny_run: Run, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["evaluate", str(tiny_run.path), str(tiny_folder), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["val"]["confusion_matrix"] == tiny_run.metrics["val"]["confusion_matrix"]
    assert run_command(["evaluate", str(tiny_run.path), str(tiny_folder)]) == 0
    out = capsys.readouterr().out
    for text in ("val: 6 images", "accuracy", "macro-F1", "confusion matrix", "blue"):
        assert text in out


@pytest.fixture(scope="module")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_pair(tmp_path_factory.mktemp("keys"), "sign")


@pytest.fixture(scope="module")
def exported(
    tiny_run: Run,
    tiny_folder: Path,
    key_pair: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A signed export of a run whose images were moved, written as the refusal proposes."""
    folder = tmp_path_factory.mktemp("saved_models")
    run = shutil.copytree(tiny_run.path, folder / "it's a run")
    recipe = (run / "recipe.toml").read_text()
    moved = recipe.replace(str(tiny_folder), str(folder / "gone"))
    (run / "recipe.toml").write_text(moved)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        assert run_command(["export", str(run), "--to", str(folder / "its model")]) == 2
    proposed = shlex.split(said.getvalue().rstrip().rpartition("zoo ")[2])
    command = [str(tiny_folder) if part == "DATA" else part for part in proposed]
    assert run_command([*command, "--sign", str(key_pair[0])]) == 0
    return folder / "its model"


def test_export_is_refused_with_images_of_another_data_set(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_images(tmp_path / "other", 4, seed=9)
    command = ["export", str(tiny_run.path), "--to", str(tmp_path / "b"), "--data", str(other)]
    assert fails(capsys, command).endswith("give --data the images it was trained on")


def test_predict_answers_alike_from_the_run_and_from_the_export(
    tiny_run: Run, tiny_folder: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [str(path) for path in sorted(tiny_folder.rglob("*.jpg"))]
    answers: list[Any] = []
    for model in (tiny_run.path, exported):
        assert run_command(["predict", str(model), *images, "--json", "--top", "3"]) == 0
        answers.append(json.loads(capsys.readouterr().out)["predictions"])
    for one, *others in zip(*answers, strict=True):
        assert one["error"] == ""
        assert sum(one["probabilities"]) == pytest.approx(1, abs=1e-5)
        for other in others:
            assert other["classes"] == one["classes"]
            np.testing.assert_allclose(other["probabilities"], one["probabilities"], atol=1e-5)


def test_signed_export_convinces_another_user_who_has_the_public_key(
    tiny_run: Run, exported: Path, key_pair: tuple[Path, Path], tiny_folder: Path, tmp_path: Path
) -> None:
    image = sorted((tiny_folder / "red").iterdir())[0]
    version = exported / "1"
    done = subprocess.run(
        [*ZOO, "predict", str(version), str(image), "--verify", str(key_pair[1])],
        env={**os.environ, "ZOO_KEY": str(tmp_path / "theirs.key")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{image}: {tiny_run.predict([image])[0].label} ")


def test_what_cannot_be_signed_or_verified_exits_2_with_one_line(
    exported: Path, tiny_run: Run, key_pair: tuple[Path, Path], tiny_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    image = str(sorted((tiny_folder / "red").iterdir())[0])
    private, public = map(str, key_pair)
    other = str(write_pair(tmp_path, "other")[1])
    capsys.readouterr()
    line = fails(capsys, ["predict", str(exported), image, "--verify", other])
    assert "received a signature of another key" in line
    changed = shutil.copytree(exported, tmp_path / "changed")
    with (changed / "1" / "assets" / "labels.txt").open("a") as labels:
        labels.write("\n")
    line = fails(capsys, ["predict", str(changed), image, "--verify", public])
    assert "received assets/labels.txt, which has changed since it was signed" in line
    line = fails(capsys, ["predict", str(exported), image, "--verify", public, "--trust"])
    assert "expected --trust or --verify; received both" in line
    line = fails(capsys, ["predict", str(tiny_run.path), image, "--verify", public])
    assert "is not an exported model" in line
    line = fails(capsys, ["predict", str(exported), image, "--verify", private])
    assert "holds no public key that can be used" in line
    to = tmp_path / "models" / "unsigned"
    line = fails(capsys, ["export", str(tiny_run.path), "--to", str(to), "--sign", public])
    assert "holds no private key that can be used" in line
    assert not to.parent.exists()


def test_predict_reads_on_past_a_file_that_is_no_image(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.jpg").write_text("not an image")
    good = sorted((tiny_folder / "red").iterdir())[0]
    arguments = ["predict", str(tiny_run.path), str(tmp_path / "notes.jpg"), str(good)]
    assert run_command([*arguments, "--top", "1"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"skipped {tmp_path / 'notes.jpg'}: ")
    assert captured.out.startswith(f"{good}: ")
    assert len(captured.out.splitlines()) == 1


def test_predict_refuses_a_savedmodel_of_another_kind(
    tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    image = sorted(tiny_folder.rglob("*.jpg"))[0]
    line = fails(capsys, ["predict", str(tmp_path / "other"), str(image), "--trust"])
    assert "is a SavedModel of another kind; expected the signature serving_bytes" in line
