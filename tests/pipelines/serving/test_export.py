"""Export: where to is checked first, and the proof is on the run's own images."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.main import run_command
from pipelines.serving.export import export
from pipelines.serving.run import Run
from pipelines.storage.run_folder import RunFolder
from tests.support.tiny import write_images
from zoo.errors import DataError, InputError, RunError

pytestmark = pytest.mark.train


@pytest.fixture
def homeless(tiny_run: Run, tmp_path: Path) -> Run:
    """A copy of the run that read its images by a relative path, from another folder."""
    to = tmp_path / "run"
    shutil.copytree(tiny_run.path, to)
    old = json.dumps(tiny_run.recipe.data.source)
    text = (to / "recipe.toml").read_text(encoding="utf-8")
    assert old in text
    (to / "recipe.toml").write_text(text.replace(old, '"d/colors"'), encoding="utf-8")
    return Run.open(to)


def test_destination_is_checked_before_anything_is_read(
    homeless: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "1").write_text("")
    before = sorted(tmp_path.rglob("*"))
    for to, message in [
        ("", "the model has no name; expected a folder with the name of the model"),
        (".", "the model has no name; .* --to saved_models/NAME"),
        ("model", "1 is a file; expected a folder"),
    ]:
        with pytest.raises(RunError, match=message):
            export(homeless, to)
    for to, message in [
        ("file", "file cannot be written|file is a file; expected a folder"),
        ("file/model", "cannot be written; received .*file is a file; choose another --to"),
        ("file/below/model", "cannot be written; received .*file is a file"),
        ("x" * 300, "cannot be written: File name too long"),
    ]:
        with pytest.raises(InputError, match=message):
            export(homeless, to)
    assert sorted(tmp_path.rglob("*")) == before


def test_images_that_are_elsewhere_are_asked_for_by_data(
    homeless: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "models" / "colors"
    assert run_command(["export", str(homeless.path), "--to", str(to)]) == 2
    line = capsys.readouterr().err
    assert "There is no data set 'd/colors'" in line
    assert f"zoo export {homeless.path} --to {to} --data DATA" in line
    assert not to.parent.exists()


def test_proof_is_on_the_images_of_the_run(
    homeless: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    to = tmp_path / "models" / "colors"
    other = write_images(tmp_path / "other", 12, seed=5)
    with pytest.raises(DataError, match=r"expected the same 6 files, and .*; received 0 of them"):
        export(homeless, to, data=str(other))
    one = shutil.copytree(tiny_folder, tmp_path / "one")
    for file in one.rglob("*.jpg"):
        file.write_bytes(file.read_bytes() + b"\0" * (file.parent.name == "red"))
    with pytest.raises(DataError, match="received 4 of them; give --data"):
        export(homeless, to, data=str(one))
    (other / "red").rename(other / "rouge")
    with pytest.raises(DataError, match="received 0 of them"):
        export(homeless, to, data=str(other))
    assert not to.parent.exists()


@pytest.mark.parametrize("change", ["grown", "renamed", "in splits"])
def test_run_whose_folder_changed_is_proven_on_its_images(
    homeless: Run,
    tiny_folder: Path,
    tmp_path: Path,
    change: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[str] = []

    def take(*_: Any, images: list[Path], **__: Any) -> None:
        given.extend(hashlib.sha256(file.read_bytes()).hexdigest() for file in images)

    # The export itself is proven in other tests; here, which images it is given.
    monkeypatch.setattr("pipelines.serving.export.export_savedmodel", take)
    data = shutil.copytree(tiny_folder, tmp_path / "changed")
    if change == "grown":
        for file in sorted(write_images(tmp_path / "other", 30, seed=5).rglob("*.jpg")):
            shutil.copy(file, data / file.parent.name / f"0{file.name}")
        (data / "violet").mkdir()
        (data / "violet" / "broken.jpg").write_bytes(b"none")
        (data / "empty").mkdir()
    elif change == "renamed":
        for number, file in enumerate(sorted(data.rglob("*.jpg"))):
            file.rename(file.with_name(f"{number}.jpeg"))
        (data / "red").rename(data / "rouge")
    else:
        (tmp_path / "split").mkdir()
        data = data.rename(tmp_path / "split" / "test").parent
    with caplog.at_level(logging.INFO, "pipelines"):
        export(homeless, tmp_path / "model", data=str(data))
    assert "checking it on 6 validation images" in caplog.text
    assert sorted(given) == sorted(RunFolder(homeless.path).digests("val"))
