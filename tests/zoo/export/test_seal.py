"""Seals: an unchanged export of the same key is accepted, everything else is refused."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.errors import RunError
from zoo.export.seal import check_seal, seal
from zoo.export.sealing_key import KeyFileError, key_file, make_key, read_key

Change = Callable[[Path], object]


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "keys" / "seal.key"
    monkeypatch.setenv("ZOO_KEY", str(file))
    return file


@pytest.fixture
def model(key: Path, tmp_path: Path) -> Path:
    """A sealed folder of a SavedModel's layout."""
    folder = tmp_path / "model" / "1"
    for name in ("saved_model.pb", "variables/variables.index", "assets/labels é.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    seal(folder)
    return folder


def test_own_model_is_accepted_wherever_it_moves(model: Path, key: Path, tmp_path: Path) -> None:
    check_seal(model)
    check_seal(shutil.copytree(model, tmp_path / "elsewhere"))
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700


def _edit_seal(**values: object) -> Change:
    def edit(folder: Path) -> None:
        content = json.loads((folder / "seal.json").read_text())
        (folder / "seal.json").write_text(json.dumps(content | values))

    return edit


def _write(name: str, text: str = "other") -> Change:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("change", "received"),
    [
        (_write("saved_model.pb"), r"saved_model\.pb, which has changed since"),
        (_write("variables/variables.index"), r"variables/variables\.index, which has changed"),
        (_write("saved_model.cpb"), r"saved_model\.cpb, which has changed"),
        (
            lambda folder: (folder / "assets/labels é.txt").unlink(),
            "assets/labels é.txt, wh",
        ),
        (lambda folder: (folder / "seal.json").unlink(), "no seal"),
        (_write("seal.json"), "a damaged seal"),
        (_write("seal.json", "[" * 10_000), "a damaged seal"),
        (_write("seal.json", '{"files": 3, "hmac": ""}'), "a damaged seal"),
        (_edit_seal(files={"a": float("nan")}), "a seal of another key"),
        (_edit_seal(files=[1]), "a damaged seal"),
        (_edit_seal(hmac="é"), "a seal of another key"),
        (_edit_seal(files={}), "a seal of another key"),
        (lambda folder: (folder / "link").symlink_to("saved_model.pb"), "link, which is no regu"),
        (lambda folder: os.mkfifo(folder / "pipe"), "pipe, which is no regular file"),
        (lambda folder: (folder / "seal.json").unlink() or os.mkfifo(folder / "seal.json"), "a da"),
    ],
)
def test_changed_model_is_refused(change: Change, received: str, model: Path) -> None:
    change(model)
    with pytest.raises(RunError, match=rf"is a program.*; received {received}.*add --trust"):
        check_seal(model)


def test_model_of_another_key_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_KEY", str(tmp_path / "mine.key"))
    with pytest.raises(RunError, match="received a seal, but no key here"):
        check_seal(model)
    make_key()
    with pytest.raises(RunError, match="received a seal of another key"):
        check_seal(model)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda key: key.chmod(0o640), "is open to others: chmod 600"),
        (lambda key: key.write_text("secret"), "is not one of 64 hexadecimal digits"),
        (lambda key: key.unlink() or key.mkdir(), "cannot be read: Not a regular file"),
        (lambda key: key.rename(key.with_name("k")) and key.symlink_to("k"), "cannot be read"),
        (lambda key: key.unlink() or os.mkfifo(key, 0o600), "cannot be read: Not a regular file"),
    ],
)
def test_key_that_others_may_know_is_not_used(
    spoil: Change, message: str, model: Path, key: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(key)
    with pytest.raises(KeyFileError, match=message):
        read_key()
    with pytest.raises(RunError, match=message):
        check_seal(model)
    (model / "seal.json").unlink()
    seal(model)
    assert not (model / "seal.json").exists()
    assert "the export bears no seal, and `zoo predict` will ask for --trust" in caplog.text


def test_key_lies_in_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert read_key() is None
    key = make_key()
    assert key_file() == tmp_path / "transfer-zoo" / "seal.key"
    assert (read_key(), make_key()) == (key, key)
    assert len(key) == 32


def test_folder_that_takes_no_key_leaves_the_model_unsealed(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ZOO_KEY", "/proc/seal.key")
    (model / "seal.json").unlink()
    seal(model)
    assert "the key /proc/seal.key cannot be written: No such file" in caplog.text


def test_processes_that_make_the_key_together_have_one(key: Path) -> None:
    program = "from zoo.export.sealing_key import make_key; print(make_key().hex())"
    command = [sys.executable, "-c", program]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    assert {process.communicate()[0] for process in started} == {key.read_bytes()}
    assert list(key.parent.iterdir()) == [key]
