"""JSON for names that are no UTF-8, checked by a parser that takes bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.files import write_json
from zoo.json_text import json_text

NAME = os.fsdecode(b"caf\xe9/\xff.jpg")
"""Bytes that are not UTF-8, as Python keeps them."""

CASES = {
    NAME: r"caf\xe9/\xff.jpg",
    "café/🐝.jpg": "café/🐝.jpg",
    r"a\xe9": r"a\xe9",
    "\ud800": r"\ud800",
    'a"b\n\x00': 'a"b\n\x00',
}


@pytest.mark.parametrize(("text", "expected"), CASES.items(), ids=ascii)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_text_survives_strict_utf8(text: str, expected: str, ascii_only: bool) -> None:
    written = json_text({text: [text, 1.5, None]}, ascii_only=ascii_only)
    content = written.encode("ascii" if ascii_only else "utf-8")
    assert json.loads(content) == {expected: [expected, 1.5, None]}


def test_json_file_holds_no_surrogates(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": NAME})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"name": r"caf\xe9/\xff.jpg"}


def test_no_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"a": float("nan")})


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_printed_json_is_utf8_in_any_locale(encoding: str) -> None:
    code = "import os; from pipelines.cli.printing import print_json; " + (
        r"print_json({'image': os.fsdecode(b'caf\xe9.jpg'), 'class': 'bée 🐝'})"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=True,
        capture_output=True,
    ).stdout
    assert json.loads(printed.decode()) == {"image": r"caf\xe9.jpg", "class": "bée 🐝"}
