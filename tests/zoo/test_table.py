"""Tables and errors: immutable rows by name, suggestions on a miss, one-line messages."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from zoo.errors import InputError, UnknownNameError, ZooError
from zoo.table import Table


@dataclass(frozen=True)
class Fruit:
    name: str
    summary: str = ""


FRUITS = Table("fruit", [Fruit("apple"), Fruit("pear"), Fruit("resnet50.imagenet")])


def test_table_keeps_its_order() -> None:
    assert list(FRUITS) == ["apple", "pear", "resnet50.imagenet"]
    assert len(FRUITS) == 3
    assert FRUITS["pear"].name == "pear"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("aple", r"Unknown fruit 'aple'\. Did you mean 'apple'\?"),
        ("resnet_50", r"Unknown fruit 'resnet_50'\. Did you mean 'resnet50\.imagenet'\?"),
        ("resnet50", r"Did you mean 'resnet50\.imagenet'\?"),
        ("xyz", r"Unknown fruit 'xyz'\. Known: apple, pear, resnet50\.imagenet\."),
        ("", r"Unknown fruit ''\. Known: "),
    ],
)
def test_table_miss_suggests_near_names(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        FRUITS[name]


def test_table_miss_is_also_a_key_error() -> None:
    with pytest.raises(KeyError, match="Unknown fruit"):
        FRUITS["kiwi"]
    assert FRUITS.get("kiwi") is None
    assert "kiwi" not in FRUITS


def test_table_rejects_duplicate_names() -> None:
    with pytest.raises(ValueError, match="Two rows of the fruit table are named 'apple'"):
        Table("fruit", [Fruit("apple"), Fruit("apple")])


def test_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        FRUITS["kiwi"] = Fruit("kiwi")  # type: ignore[index]


def test_error_message_is_one_line_in_the_documented_order() -> None:
    error = ZooError("it\nbroke", expected="this", received="that", mend="do so")
    assert str(error) == "it broke; expected this; received that; do so"


def _all_kinds(kind: type[ZooError]) -> set[type[ZooError]]:
    return {kind}.union(*(_all_kinds(k) for k in kind.__subclasses__()))


def test_errors_docstring_lists_every_class() -> None:
    import zoo.errors

    ours = {k for k in _all_kinds(ZooError) if k.__module__ == "zoo.errors"}
    assert len(ours) > 10
    for kind in ours:
        assert kind.__name__ in (zoo.errors.__doc__ or "")
        assert kind.exit_status == (2 if issubclass(kind, InputError) else 1)


def test_message_quotes_the_beginning_of_a_long_input() -> None:
    error = ZooError("x" * 10_000, expected="y" * 10_000, received="z" * 10_000, mend="do so")
    assert len(str(error)) < 5000
    assert str(error).endswith("z …; do so")
