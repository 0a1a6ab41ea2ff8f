"""Atomic writes, under exceptions and kills; digests; the cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.files import (
    cache_folder,
    open_to_read,
    open_to_write,
    placing_folder,
    replacing,
    sha256_of,
    write_json,
    write_text,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("old", [None, "old"])
def test_replacing_moves_into_place(tmp_path: Path, old: str | None) -> None:
    path = tmp_path / "a folder" / "model.weights.h5"
    if old is not None:
        path.parent.mkdir()
        path.write_text(old)
    with replacing(path) as temporary:
        # Keras picks the format by the suffix; os.replace needs the same file system.
        assert temporary.name.endswith(".h5")
        assert temporary.parent == path.parent
        temporary.write_text("new")
        assert path.exists() is (old is not None)
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt("disk full")], ids=repr)
def test_replacing_changes_nothing_when_the_body_raises(
    tmp_path: Path, error: BaseException, old: str | None
) -> None:
    path = tmp_path / "net.h5"
    if old is not None:
        path.write_text(old)

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error), match="disk full"):
        write()
    assert os.listdir(tmp_path) == ([] if old is None else ["net.h5"])
    assert old is None or path.read_text() == old


def test_replacing_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    path.write_text("old")
    code = """
import os, sys
from pathlib import Path
from zoo.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), 9)
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, str(path)], env=env, check=False)
    assert path.read_text() == "old"


def test_replacing_raises_when_the_body_wrote_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    path.write_text("old")
    with pytest.raises(FileNotFoundError, match="net"), replacing(path):
        pass
    assert path.read_text() == "old"


def test_placing_folder_moves_into_place(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "first"
    with placing_folder(path) as temporary:
        (temporary / "a").write_text("a")
        assert not path.exists()
    assert (path / "a").read_text() == "a"
    assert os.listdir(path.parent) == ["first"]


def test_placing_folder_clears_what_killed_processes_left(tmp_path: Path) -> None:
    abandoned = tmp_path / ".1.0a1b2c3d"
    abandoned.mkdir()
    (abandoned / "variables").write_text("half of")
    (tmp_path / ".hidden").mkdir()
    with placing_folder(tmp_path / "2") as held:
        assert not abandoned.exists()
        with placing_folder(tmp_path / "3"):
            assert held.is_dir(), "another process is writing it"
    assert sorted(os.listdir(tmp_path)) == [".hidden", "2", "3"]


def test_placing_folder_leaves_nothing_when_the_body_raises(tmp_path: Path) -> None:
    def write() -> None:
        with placing_folder(tmp_path / "run") as temporary:
            (temporary / "a").write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write()
    assert os.listdir(tmp_path) == []


def test_placing_folder_keeps_a_folder_created_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def write() -> None:
        with placing_folder(path) as temporary:
            (temporary / "a").write_text("mine")
            path.mkdir()
            (path / "a").write_text("theirs")

    with pytest.raises(FileExistsError, match="run"):
        write()
    assert (path / "a").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["run"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # UTF-8 cannot encode a lone surrogate.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values, max_size=3)
    ),
    max_leaves=8,
)


@given(value=JSON)
def test_write_json_reads_back(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_write_json_rejects_nan_and_infinity(tmp_path: Path, number: float) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError, match="Out of range float values"):
        write_json(path, {"loss": number})
    assert json.loads(path.read_text()) == {"loss": 1.0}


def test_write_text_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    write_text(tmp_path / "labels.txt", "déjà\n犬\n")
    assert (tmp_path / "labels.txt").read_bytes() == "déjà\n犬\n".encode()


@pytest.mark.parametrize("make", ["link", "dangling link", "pipe", "folder"])
def test_file_of_a_predictable_name_is_opened_if_it_is_one(make: str, tmp_path: Path) -> None:
    path, other = tmp_path / "name", tmp_path / "other"
    if "link" in make:
        path.symlink_to(other)
        if make == "link":
            other.write_text("precious")
    elif make == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    for opener in (open_to_read, open_to_write):
        with pytest.raises(OSError, match=r"symbolic links|Not a regular|Is a dir|No such"):
            opener(path)
    assert not other.exists() or other.read_text() == "precious"


def test_sha256_of_equals_hashlib(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ZOO_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"ZOO_CACHE": "~/a"}, "/home/me/a"),
        ({"ZOO_CACHE": "", "XDG_CACHE_HOME": "/b"}, "/b/transfer-zoo"),
        ({}, "/home/me/.cache/transfer-zoo"),
    ],
    ids=str,
)
def test_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("ZOO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environment}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
