"""The command line: exit statuses, one-line errors, JSON, and how fast it answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pipelines.cli.main import run_command
from pipelines.cli.tables import TABLES
from pipelines.serving.run import Run
from tests.support.command_line import ZOO, fails
from zoo.backbones.catalog import WEIGHTS


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    out = capsys.readouterr().out
    for command in ("list", "audit", "train", "evaluate", "report", "predict", "export"):
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
    commands = [["--help"], ["list"], *(["list", table] for table in TABLES)]
    code = (
        "import sys; from pipelines.cli.main import run_command\n"
        f"for arguments in {commands!r}:\n"
        "    assert run_command(arguments) == 0, arguments\n"
        "    loaded = {'tensorflow', 'keras', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "    assert not loaded, arguments\n"
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
    assert message in fails(capsys, arguments)
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
    line = fails(capsys, [*arguments, "--out", str(tmp_path / "run")])
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
    settings += ["--set=augment.policy=none", "--set=backbone.levels=1", "--set=penalty.name=none"]
    arguments = ["train", str(data), "--backbone", "micro_resnet_s", *settings]
    assert run_command([*arguments, "--out", str(tmp_path / "run")]) == 0
    captured = capsys.readouterr()
    assert f"skipped red/{victim.name}: cut off" in captured.err
    assert "hidden" not in captured.err
    assert captured.out.startswith("val: accuracy ")
    assert captured.out.endswith(f"run: {tmp_path / 'run'}\n")
    assert Run.open(tmp_path / "run").images["skipped"] == 1


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
