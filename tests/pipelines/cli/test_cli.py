"""The command line: exit statuses, one-line errors, JSON, and how fast it answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.cli.main import run_command
from pipelines.cli.tables import TABLES
from pipelines.serving.run import Run
from tests.support.key_pairs import write_pair
from zoo.backbones.catalog import WEIGHTS

ZOO = [sys.executable, "-c", "from pipelines.cli.main import main; main()"]


def _fails(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Runs a command that must exit with 2; returns its one line."""
    assert run_command(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    out = capsys.readouterr().out
    for command in ("list", "audit", "train", "evaluate", "predict", "export"):
        assert command in out
        assert run_command([command, "--help"]) == 0


@pytest.mark.parametrize("table", TABLES)
def test_list_shows_every_row_for_people_and_as_json(
    table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["list", table, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)[table]
    assert {row["name"] for row in rows} == set(TABLES[table].load())
    assert run_command(["list", table]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == len(rows) + 1
    assert all(row["name"] in out for row in rows)


def test_list_alone_names_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["list"]) == 0
    assert capsys.readouterr().out.split("\n")[:-1] == [f"zoo list {name}" for name in TABLES]
    assert run_command(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tables": list(TABLES)}


def test_list_weights_shows_licenses_and_proofs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["list", "weights"]) == 0
    out = capsys.readouterr().out.splitlines()[1:]
    for line, weights in zip(out, WEIGHTS.values(), strict=True):
        assert weights.license in line
        assert weights.proof in line


def test_help_and_list_load_no_tensorflow() -> None:
    for arguments in (["--help"], *(["list", table] for table in ("", *TABLES))):
        code = (
            "import sys; from pipelines.cli.main import run_command\n"
            f"status = run_command({[a for a in arguments if a]!r})\n"
            "assert not {'tensorflow', 'keras', 'numpy', 'matplotlib'} & set(sys.modules)\n"
            "sys.exit(status)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


WRONG: list[tuple[list[str], str]] = [
    (["list", "backbone"], "Unknown table 'backbone'. Did you mean 'backbones'?"),
    (["trian", "x"], "No such command 'trian'"),
    (["train", "--out", "r"], "there is no data set to work on; expected DATA"),
    (["train", "nowhere", "--out", "r"], "There is no data set 'nowhere'; expected a folder"),
    (["train", "textuers", "--out", "r"], "did you mean 'textures'?"),
    (["train", "digits", "--out", "r", "--backbone", "resnet_50"], "Did you mean 'resnet50"),
    (["train", "digits", "--out", "r", "--set", "head.dropuot=1"], "Did you mean 'head.dropout'"),
    (["train", "digits", "--out", "r", "--set", "train.epochs=soon"], "train.epochs does not fit"),
    (["train", "digits", "--out", "r", "--recipe", "none.toml"], "none.toml cannot be read"),
    (["train", "digits", "--out"], "requires an argument"),
    (["evaluate", "nowhere", "digits"], "nowhere is no run; expected a directory"),
    (["predict", "nowhere", "a.jpg"], "a.jpg does not exist"),
    (["predict", "x", "a.jpg", "--top", "0"], "greater than or equal to 1"),
    (["export", "nowhere", "--to", "x"], "nowhere is no run"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_wrong_input_exits_2_with_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in _fails(capsys, arguments)
    assert not list(tmp_path.iterdir()), "wrong input writes nothing"


def _dirty(kind: str, folder: Path, source: Path) -> None:
    """Makes a folder of images that is wrong in one way."""
    shutil.copytree(source, folder)
    red = folder / "red"
    if kind == "empty class":
        for file in red.iterdir():
            file.unlink()
    elif kind == "single class":
        shutil.rmtree(red)
        shutil.rmtree(folder / "blue")
    elif kind == "only in validation":
        for split in ("train", "val"):
            shutil.copytree(source, folder / split)
        shutil.rmtree(folder / "train" / "red")
        for name in ("red", "green", "blue"):
            shutil.rmtree(folder / name)
    elif kind == "no images":
        for file in folder.rglob("*.jpg"):
            file.unlink()
    elif kind == "undecodable":
        for file in sorted(folder.rglob("*.jpg"))[:4]:
            file.write_bytes(file.read_bytes()[:200])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty class", "red"),
        ("single class", "green"),
        ("only in validation", "red"),
        ("no images", "image"),
        ("undecodable", "4 of 36"),
    ],
)
def test_unusable_folder_exits_2_with_one_line(
    kind: str,
    message: str,
    tiny_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _dirty(kind, tmp_path / "data", tiny_folder)
    arguments = ["train", str(tmp_path / "data"), "--backbone", "micro_resnet_s"]
    line = _fails(capsys, [*arguments, "--out", str(tmp_path / "run")])
    assert message in line
    assert not (tmp_path / "run").exists()


def test_unreadable_weight_file_exits_2_with_one_line(
    tiny_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "squeezenet1_1.imagenet"
    file = tmp_path / WEIGHTS[name].file
    file.write_bytes(b"these are no weights")
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path))
    arguments = ["train", str(tiny_folder), "--backbone", name, "--out", str(tmp_path / "run")]
    assert run_command(arguments) == 2
    lines = [li for li in capsys.readouterr().err.splitlines() if li.startswith("error: ")]
    assert len(lines) == 1
    assert WEIGHTS[name].sha256 in lines[0]
    assert file.read_bytes() == b"these are no weights"


def test_traceback_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.errors import ZooError

    monkeypatch.setenv("ZOO_DEBUG", "1")
    with pytest.raises(ZooError, match="is no run"):
        run_command(["evaluate", "nowhere", "digits"])


@pytest.mark.train
def test_train_skips_what_cannot_be_decoded_and_names_it(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_folder, data)
    victim = sorted((data / "red").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:300])
    (data / "red" / ".hidden.jpg").write_bytes(b"never looked at")
    settings = ["--set=train.epochs=1", "--set=input.size=32", "--set=backbone.frozen=true"]
    arguments = ["train", str(data), "--backbone", "micro_resnet_s", *settings]
    assert run_command([*arguments, "--out", str(tmp_path / "run")]) == 0
    captured = capsys.readouterr()
    assert f"skipped red/{victim.name}: cut off" in captured.err
    assert "hidden" not in captured.err
    assert captured.out.startswith("val: accuracy ")
    assert captured.out.endswith(f"run: {tmp_path / 'run'}\n")
    assert Run.open(tmp_path / "run").images["skipped"] == 1


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
    tiny_run: Run, key_pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    to = tmp_path_factory.mktemp("saved_models") / "colors"
    command = ["export", str(tiny_run.path), "--to", str(to), "--sign", str(key_pair[0])]
    assert run_command(command) == 0
    return to


def test_predict_answers_alike_from_the_run_and_from_the_export(
    tiny_run: Run, tiny_folder: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [str(path) for path in sorted(tiny_folder.rglob("*.jpg"))]
    answers: list[Any] = []
    for model in (tiny_run.path, exported, exported / "1"):
        assert run_command(["predict", str(model), *images, "--json", "--top", "3"]) == 0
        answers.append(json.loads(capsys.readouterr().out)["predictions"])
    for one, *others in zip(*answers, strict=True):
        assert one["error"] == ""
        assert sum(one["probabilities"]) == pytest.approx(1, abs=1e-5)
        for other in others:
            assert other["classes"] == one["classes"]
            np.testing.assert_allclose(other["probabilities"], one["probabilities"], atol=1e-5)


def test_signed_export_convinces_another_user_who_has_the_public_key(
    exported: Path, key_pair: tuple[Path, Path], tiny_folder: Path, tmp_path: Path
) -> None:
    image = sorted((tiny_folder / "red").iterdir())[0]
    done = subprocess.run(
        [*ZOO, "predict", str(exported), str(image), "--verify", str(key_pair[1])],
        env={**os.environ, "ZOO_KEY": str(tmp_path / "theirs.key")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{image}: ")


def test_what_cannot_be_signed_or_verified_exits_2_with_one_line(
    exported: Path, tiny_run: Run, key_pair: tuple[Path, Path], tiny_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    image = str(sorted((tiny_folder / "red").iterdir())[0])
    private, public = map(str, key_pair)
    other = str(write_pair(tmp_path, "other")[1])
    capsys.readouterr()
    line = _fails(capsys, ["predict", str(exported), image, "--verify", other])
    assert "received a signature of another key" in line
    changed = shutil.copytree(exported, tmp_path / "changed")
    with (changed / "1" / "assets" / "labels.txt").open("a") as labels:
        labels.write("\n")
    line = _fails(capsys, ["predict", str(changed), image, "--verify", public])
    assert "received assets/labels.txt, which has changed since it was signed" in line
    line = _fails(capsys, ["predict", str(exported), image, "--verify", public, "--trust"])
    assert "expected --trust or --verify; received both" in line
    line = _fails(capsys, ["predict", str(tiny_run.path), image, "--verify", public])
    assert "is not a SavedModel" in line
    line = _fails(capsys, ["predict", str(exported), image, "--verify", private])
    assert "holds no public key that can be used" in line
    to = tmp_path / "models" / "unsigned"
    line = _fails(capsys, ["export", str(tiny_run.path), "--to", str(to), "--sign", public])
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
    line = _fails(capsys, ["predict", str(tmp_path / "other"), str(image), "--trust"])
    assert "is a SavedModel of another kind; expected the signature serving_bytes" in line


@pytest.mark.train
def test_export_finds_images_that_have_moved(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines.recipe.recipe import Recipe
    from pipelines.training.train import train
    from tests.support.tiny import TINY

    data = tmp_path / "here"
    shutil.copytree(tiny_folder, data)
    run = train(data, Recipe.from_settings(TINY, {"train": {"epochs": 1}}), out=tmp_path / "run")
    data.rename(tmp_path / "there")
    capsys.readouterr()
    assert run_command(["export", str(run.path), "--to", str(tmp_path / "model")]) == 2
    assert "There is no data set" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    moved = ["--data", str(tmp_path / "there")]
    assert run_command(["export", str(run.path), "--to", str(tmp_path / "model"), *moved]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'model' / '1'}\n"


@pytest.mark.train
def test_zoo_command_is_installed_and_quiet(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    done = subprocess.run(
        [*ZOO, "predict", "nowhere", "red.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere is not a model; expected")
    assert len(done.stderr.splitlines()) == 1, "TensorFlow's start-up lines are held back"
