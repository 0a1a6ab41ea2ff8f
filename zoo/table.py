"""Table: an immutable mapping from names to rows that suggests near names on a miss."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from zoo.errors import UnknownNameError


class Row(Protocol):
    """A table row: any object with a name and a one-line summary."""

    @property
    def name(self) -> str:
        """The row's key, unique in its table."""

    @property
    def summary(self) -> str:
        """One line on what the row is or when to use it."""


R = TypeVar("R", bound=Row)


class Table(Mapping[str, R], Generic[R]):
    """An immutable mapping from name to row, in the order of construction.

    A missing name raises `UnknownNameError` with the nearest names.

    Args:
        kind: The singular noun for a row in errors, such as `backbone`.
        rows: The rows, with unique names.

    Raises:
        ValueError: Two rows have the same name.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Fruit:
        ...     name: str
        ...     summary: str
        >>> fruits = Table("fruit", [Fruit("apple", "keeps"), Fruit("pear", "does not")])
        >>> fruits["pear"].summary
        'does not'
        >>> fruits["aple"]
        Traceback (most recent call last):
        zoo.errors.UnknownNameError: Unknown fruit 'aple'. Did you mean 'apple'?
    """

    def __init__(self, kind: str, rows: Iterable[R]) -> None:
        self.kind = kind
        self._rows: dict[str, R] = {}
        for row in rows:
            if row.name in self._rows:
                raise ValueError(f"Two rows of the {kind} table are named {row.name!r}.")
            self._rows[row.name] = row

    def __getitem__(self, name: str) -> R:
        try:
            return self._rows[name]
        except (KeyError, TypeError):
            raise unknown_name(self.kind, name, self._rows) from None

    def __contains__(self, name: object) -> bool:
        # Mapping's own version would compute the suggestions of an error for each miss.
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Table({self.kind!r}, {len(self)} rows)"


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Builds the error for an unknown name, with the nearest known names.

    Args:
        kind: The singular noun for what was looked up, such as `backbone`.
        name: The unknown name.
        known: The known names.
    """
    known = list(known)
    near = find_near_names(str(name), known)
    if near:
        quoted = [repr(n) for n in near]
        listed = quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]
        return UnknownNameError(f"Unknown {kind} {name!r}. Did you mean {listed}?")
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return UnknownNameError(f"Unknown {kind} {name!r}. Known: {shown}.")


def find_near_names(name: str, known: Iterable[str], *, count: int = 3) -> list[str]:
    """Returns the known names that a mistyped name may stand for, the nearest first.

    Args:
        name: The unknown name.
        known: The known names.
        count: How many to return, at most.

    Example:
        >>> find_near_names("sdg", ["adam", "sgd"])
        ['sgd']
        >>> find_near_names("resnet50", ["vgg16.imagenet", "resnet50.imagenet"])
        ['resnet50.imagenet']
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=count, cutoff=0.6)
    # 'resnet50' suggests 'resnet50.imagenet'; 'imagenet' suggests no arbitrary row.
    return near or [k for k in known if name and k.startswith(name)][:count]
