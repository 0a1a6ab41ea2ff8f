"""Printable text: one line, which a terminal only shows."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import DataError
from zoo.json_text import json_text
from zoo.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a cat", "a cat"),
        ("Käfer 甲虫 🐞", "Käfer 甲虫 🐞"),
        ("cat\nerror: forged", r"cat\nerror: forged"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("caf\udce9", r"caf\xe9"),
        ("gpj.\u202etac", r"gpj.\u202etac"),
        ("one\u2028two", r"one\u2028two"),
    ],
)
def test_what_controls_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(codec=None)))
def test_any_text_becomes_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert len(shown.encode().decode().splitlines()) <= 1
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cs"}]
    assert printable(shown) == shown


def test_errors_and_json_hold_no_controls() -> None:
    assert str(DataError("no class \x1b[31m")) == r"no class \x1b[31m"
    assert "\x9b" not in json_text({"name": "\x9b31m\x7f"})
