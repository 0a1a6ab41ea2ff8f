"""What describes an export's outputs: read as it was written, and damage answered in a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.storage.exported_tasks import read_exported_tasks
from zoo.errors import RunError


def test_names_are_those_of_the_lines(tmp_path: Path) -> None:
    names = ("\ufeffant", " b e\u2028", "", "犬\r")
    (tmp_path / "labels.txt").write_bytes("\n".join([*names, ""]).encode())
    [task] = read_exported_tasks(tmp_path / "labels.txt")
    assert task.class_names == names


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.txt", b"ant\nbee\nant\n", "cannot be read: the class 'ant' occurs twice"),
        ("labels.txt", b"ant\n\xff\n", "cannot be read: 'utf-8' codec"),
        ("labels.txt", None, "cannot be read: .*Not a regular file"),
        ("tasks.json", None, "cannot be read; received .*Not a regular file"),
        ("tasks.json", b"3", "is damaged; expected .*list"),
        ("tasks.json", b"[3]", "is damaged: the class 3 is no text"),
        ("tasks.json", b'[{"name": "size"}]', "is damaged: not the values of a task"),
        ("tasks.json", b"[" * 100_000, "cannot be read; received nested more than 50 levels"),
        (
            "tasks.json",
            b'[{"name": "a", "kind": "single_label", "class_names": ["x", null]}]',
            "is damaged: the class None is no text",
        ),
    ],
)
def test_damage_is_answered_in_one_line(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    if content is None:
        os.mkfifo(file)
    else:
        file.write_bytes(content)
    with pytest.raises(RunError, match=rf"{name} ({message})") as caught:
        read_exported_tasks(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
