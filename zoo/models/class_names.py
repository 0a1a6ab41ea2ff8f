"""Readable names of a pretrained network's classes, and look-up of a class by any name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from zoo.errors import DataError
from zoo.table import find_near_names

_MAX_NAMED = 5


@dataclass(frozen=True)
class ClassNames:
    """The classes of a network: how it calls them, and what people call them.

    Args:
        ids: C names in the order of the outputs, such as WordNet ids.
        display_names: Each class's names, with its synonyms separated by `, `, in the same
            order; empty if `ids` are readable themselves.

    Example:
        >>> ids = ("n02012849", "n02206856", "n03126707")
        >>> names = ClassNames(ids, ("crane", "bee", "crane"))
        >>> names.readable
        ('crane (n02012849)', 'bee', 'crane (n03126707)')
        >>> names.match(["Bee", "n03126707"])
        [1, 2]
    """

    ids: tuple[str, ...]
    display_names: tuple[str, ...] = ()

    @cached_property
    def readable(self) -> tuple[str, ...]:
        """A readable name for each class, unlike any other's.

        It is the first of the class's names. Where several classes begin with the same one,
        it is the first that no other class has, or else the shared one with the id.
        """
        if not self.display_names:
            return self.ids
        synonyms = [text.split(", ") for text in self.display_names]
        of_first = _group(names[:1] for names in synonyms)
        of_any = _group(synonyms)

        def choose(names: list[str], id_: str) -> str:
            if len(of_first[_fold(names[0])]) == 1:
                return names[0]
            own = (name for name in names if len(of_any[_fold(name)]) == 1)
            return next(own, f"{names[0]} ({id_})")

        return tuple(map(choose, synonyms, self.ids))

    def match(self, names: Sequence[str]) -> list[int]:
        """Returns the index of each named class.

        A class is named by its id, its readable name, all of its names as they are
        displayed, or one of them that no other class has; case, blanks, underscores and
        hyphens do not count.

        Args:
            names: The names to look up.

        Raises:
            DataError: A name is that of no class, or of several.
        """
        tables = (
            _group([id_] for id_ in self.ids),
            _group([name] for name in self.readable),
            _group([text, *text.split(", ")] for text in self.display_names),
        )
        found: list[int] = []
        problems = []
        for name in names:
            indices = next((t[_fold(name)] for t in tables if _fold(name) in t), [])
            found += indices[:1]
            if len(indices) != 1:
                problems.append(self._describe(name, indices))
        if problems:
            more = len(problems) - _MAX_NAMED
            raise DataError(
                "the network does not know the classes of these images: "
                + "; ".join(problems[:_MAX_NAMED])
                + (f"; and {more} more" if more > 0 else ""),
                expected="names or ids of its classes",
                mend="rename these classes or move their images away",
            )
        return found

    def _describe(self, name: str, indices: Sequence[int]) -> str:
        """Describes why a name is not that of a class: it has several, or none."""
        if indices:
            return f"{name} is one of {', '.join(self.readable[i] for i in indices)}"
        near = find_near_names(_fold(name), self._by_folded_name, count=3)
        nearest = dict.fromkeys(self._by_folded_name[key] for key in near)
        return f"{name} (near: {', '.join(nearest)})" if nearest else name

    @cached_property
    def _by_folded_name(self) -> dict[str, str]:
        """Readable names by each name of the class, folded."""
        texts = self.display_names or self.ids
        pairs = zip(self.readable, texts, strict=True)
        return {_fold(part): name for name, text in pairs for part in text.split(", ")}


def _fold(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


def _group(names: Iterable[Iterable[str]]) -> dict[str, list[int]]:
    """Returns the indices of the classes that have each name, folded."""
    grouped: dict[str, list[int]] = defaultdict(list)
    for index, of_class in enumerate(names):
        for name in {_fold(name) for name in of_class}:
            grouped[name].append(index)
    return grouped
