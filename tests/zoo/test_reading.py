"""Reading within limits: what is hostile or damaged is a ValueError or an OSError, at once."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.augment.policies import AugmentConfig
from pipelines.cli.main import run_command
from pipelines.recipe.overrides import parse_overrides, read_settings
from pipelines.storage.checkpoint import Checkpoint
from pipelines.storage.records import read_tasks
from zoo.errors import RecipeError, RunError, WeightsError
from zoo.reading import parse_json, parse_toml, read_arrays, read_text
from zoo.weights.archive import read_archive

DEEP = 100_000


@pytest.fixture
def odd_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path where no regular file of text is."""
    path = tmp_path / "recipe.toml"
    match request.param:
        case "fifo":
            os.mkfifo(path)
        case "link to a fifo":
            os.mkfifo(tmp_path / "fifo")
            path.symlink_to(tmp_path / "fifo")
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "sparse":
            with path.open("wb") as file:
                file.truncate(40 * 2**30)
    return path


@pytest.mark.parametrize(
    "odd_file", ["fifo", "link to a fifo", "device", "folder", "sparse"], indirect=True
)
def test_what_is_no_file_of_text_is_refused_at_once(
    odd_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match=r"Not a regular file|Is a directory|Larger than"):
        read_text(odd_file)
    for option in ("--recipe",):
        assert run_command(["train", "digits", "--out", "x", option, str(odd_file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {odd_file} cannot be read: ")


def test_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes(b"\xef\xbb\xbfseed = 3\r\n")
    assert read_settings(tmp_path / "recipe.toml") == {"seed": 3}


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * DEEP,
        "a = " + "[" * 60 + "]" * 60,
        "a = " + "{b = " * DEEP,
        ".".join("a" * DEEP) + " = 1",
        f"[{'.'.join('a' * 60)}]",
        f"a = {'9' * 5000}",
        "a = \x00",
    ],
    ids=lambda text: text[:12],
)
def test_toml_beyond_the_limits_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_toml(text)
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(RecipeError, match="is not valid TOML"):
        read_settings(tmp_path / "recipe.toml")


@pytest.mark.parametrize(
    "text",
    ["[" * DEEP, '{"a":' * DEEP, "[" * 60 + "]" * 60, "9" * 5000, "nul"],
    ids=lambda t: t[:9],
)
def test_json_beyond_the_limits_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(RunError, match=r"labels\.json cannot be read") as caught:
        read_tasks(tmp_path / "labels.json")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "argument",
    [
        "head.dropout=" + "[" * DEEP,
        "head.hidden=" + "[" * 60 + "]" * 60,
        f"seed={'9' * 5000}",
        ".".join("a" * DEEP) + "=1",
        "augment.policy=" + "x" * 2_000_000,
    ],
    ids=lambda text: text[:20],
)
def test_setting_beyond_the_limits_is_an_error(argument: str) -> None:
    with pytest.raises(RecipeError, match=r"--set") as caught:
        parse_overrides([argument])
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "policy",
    [
        "(" * 5000,
        "|".join(["flip_lr"] * 1200),
        "choose(1," * 900 + "flip_lr" + ")" * 900,
        "rotate(" + "-" * 5000 + "1)",
        "rotate({[]: 1})",
        "rotate(" + "9" * 5000 + ")",
        "flip_lr\x00",
        "flip_lr|" * 100_000,
    ],
    ids=lambda policy: policy[:16],
)
def test_policy_beyond_the_limits_is_an_error(policy: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        AugmentConfig(policy=policy)
    assert "not valid shorthand" in str(caught.value) or "degrees" in str(caught.value)


def _archive(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _array(shape: tuple[int, ...], content: bytes = b"", dtype: str = "<f4") -> bytes:
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


FORGED = {
    "a shape beyond its bytes": {"a.npy": _array((10**12,))},
    "a negative shape": {"a.npy": _array((-1, -4), bytes(16))},
    "bytes beyond its shape": {"a.npy": _array((1,), bytes(400))},
    "objects": {"a.npy": _array((1,), bytes(8), "|O")},
    "zeros that unfold": {"a.npy": _array((2**26,), bytes(2**28))},
    "another member": {"a.py": b"import os"},
    "no header": {"a.npy": b"\x93NUMPY\x01\x00\xff\xff"},
    "a header that is no literal": {"a.npy": b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16},
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_archive_is_refused_before_memory_is_taken(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "last.npz"
    path.write_bytes(_archive(FORGED[kind]))
    with pytest.raises(ValueError, match=r"."):
        read_arrays(path)
    with pytest.raises(RunError, match=r"last\.npz is damaged"):
        Checkpoint.load(path)
    with pytest.raises(WeightsError, match=r"last\.npz cannot be read"):
        read_archive(path)


@pytest.fixture(scope="module")
def checkpoint() -> bytes:
    file = io.BytesIO()
    np.savez(file, state=np.zeros(40, np.uint8), current_0=np.ones((3, 4), np.float32))
    return file.getvalue()


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7), length=st.integers(0, 10**6))
def test_damaged_archive_is_an_error_or_the_same_arrays(
    checkpoint: bytes,
    tmp_path_factory: pytest.TempPathFactory,
    position: int,
    bit: int,
    length: int,
) -> None:
    content = bytearray(checkpoint)
    content[position % len(content)] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(content[: length % len(content)] if length % 2 else content)
    try:
        arrays = read_arrays(path)
    except (OSError, ValueError):
        return
    assert all(array.size <= 40 for array in arrays.values())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "1 is no text"),
        ('["a", null]', "None is no text"),
        ('["a", "b", "a"]', "'a' occurs twice"),
        ('["a", ["b"]]', "is no text"),
        ('[{"name": "x"}]', "not the values of a task"),
    ],
)
def test_labels_that_no_run_wrote_are_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(RunError, match=rf"labels\.json is damaged: .*{message}"):
        read_tasks(tmp_path / "labels.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 10**9},
        {"epoch": -1},
        {"epoch": "1"},
        {"phase": -1},
        {"history": [1]},
        {"history": {}},
        {"history": [{"loss": 1.0}]},
        {"stopping": []},
        {"data_digest": None},
    ],
    ids=str,
)
def test_checkpoint_whose_parts_do_not_belong_together_is_refused(
    changes: dict[str, object], tmp_path: Path
) -> None:
    row = {"epoch": 1, "loss": 1.0}
    good: dict[str, object] = {"epoch": 0, "history": [row], "data_digest": ""}
    Checkpoint(**good).save(tmp_path / "last.npz")  # type: ignore[arg-type]
    assert Checkpoint.load(tmp_path / "last.npz")
    Checkpoint(**{**good, **changes}).save(tmp_path / "last.npz")  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"last\.npz is damaged"):
        Checkpoint.load(tmp_path / "last.npz")
