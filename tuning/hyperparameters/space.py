"""Space: which settings of a recipe are searched, over what, and under which conditions.

A space looks like a recipe with a list or a range in the place of a value:

    [head]
    dropout = {min = 0.0, max = 0.7}
    hidden = [[], [128], [512]]

    [penalty]
    name = ["none", "l1", "l2"]
    l1 = {min = 1e-6, max = 1e-2, log = true, when = {"penalty.name" = ["l1"]}}

A setting that differs from case to case has a list of such tables, each with its `when`.
"""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from zoo.config import Config
from zoo.errors import RecipeError
from zoo.table import unknown_name

Check = Callable[[Mapping[str, Any]], None]
"""Raises RecipeError where settings, from path to value, make no recipe."""

_MOST_CHECKS = 1000


class Domain(Config):
    """What one setting may be, in one case.

    Args:
        choice: The values themselves: any that a recipe can hold.
        min: The least number of a range; whole numbers make a range of whole numbers.
        max: The largest, itself included.
        step: From one value of the range to the next; left out, any number of it.
        log: Whether small numbers are drawn as often as large ones: evenly in log x.
        when: From the path of another searched setting to those of its values under
            which this one is searched; all have to hold. In other cases the setting is what it
            is when a recipe does not name it.
    """

    choice: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    min: int | float | None = None
    max: int | float | None = None
    step: int | float | None = None
    log: bool = False
    when: Mapping[str, Sequence[Any]] = {}

    @model_validator(mode="after")
    def _is_choice_or_range(self) -> Domain:
        low, high = self.min, self.max
        if self.choice is not None:
            if (low, high, self.step, self.log) != (None, None, None, False):
                raise ValueError("a choice has no min, max, step or log")
            texts = [json.dumps(value) for value in self.choice]
            if len(set(texts)) < len(texts):
                raise ValueError(f"a value stands twice in {list(self.choice)}")
            return self
        if low is None or high is None or low >= high:
            raise ValueError(f"expected min below max, not min = {low}, max = {high}")
        if self.log and (low <= 0 or self.step is not None):
            raise ValueError("log needs min above 0, and goes without step")
        if self.step is not None and not 0 < self.step <= high - low:
            raise ValueError(f"expected step above 0 and no wider than the range, not {self.step}")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return all(isinstance(n, int) for n in (self.min, self.max, self.step) if n is not None)

    @property
    def extremes(self) -> Sequence[Any]:
        """Every choice, or both ends of a range."""
        return self.choice if self.choice is not None else (self.min, self.max)


class Space(Config):
    """The settings that are searched.

    Args:
        domains: By path, what the setting may be, one entry a case.
    """

    domains: Mapping[str, Sequence[Domain]]

    @classmethod
    def read(cls, path: Path, paths: Collection[str], check: Check) -> Space:
        """Reads a space file.

        Args:
            path: The TOML file.
            paths: Those that can be searched.
            check: Tells whether values fit the recipe.

        Raises:
            RecipeError: It is absent, no TOML, or no space.
            UnknownNameError: It has a path that cannot be searched.
        """
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RecipeError(
                f"{path} cannot be read: {error.strerror}",
                mend="give --space an existing TOML file",
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path} is not valid TOML: {error}") from None
        return cls.from_settings(settings, paths, check)

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], paths: Collection[str], check: Check
    ) -> Space:
        """Builds a space and checks every value of it.

        Args:
            settings: As a space file holds them.
            paths: Those that can be searched.
            check: Tells whether values fit the recipe.

        Raises:
            RecipeError: A value does not fit its setting, or a condition cannot hold.
            UnknownNameError: A path that cannot be searched.

        Example:
            >>> space = {"head": {"dropout": {"min": 0.0, "max": 0.5}}}
            >>> list(Space.from_settings(space, ["head.dropout"], print).domains)
            {'head.dropout': 0.0}
            {'head.dropout': 0.5}
            ['head.dropout']
        """
        domains: dict[str, list[Domain]] = {}
        for path, leaf in _leaves(settings):
            if path not in paths:
                raise unknown_name("setting to search", path, paths)
            cases = leaf if isinstance(leaf, list) and leaf and all(map(_is_domain, leaf)) else None
            try:
                domains[path] = [
                    Domain.model_validate({**case, "when": _flat(case.get("when", {}))})
                    for case in (cases or [leaf if isinstance(leaf, Mapping) else {"choice": leaf}])
                ]
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                where = ".".join([path, *map(str, first["loc"])])
                said = first["msg"].removeprefix("Value error, ")
                raise RecipeError(f"{where} of the space does not fit: {said}") from None
        if not domains:
            raise RecipeError("the space is empty", expected="a setting to search")
        space = cls(domains=domains)
        space._check(check)
        return space

    def _check(self, check: Check) -> None:
        for path in self.in_order():
            for domain in self.domains[path]:
                for values in itertools.islice(self._cases(domain.when), _MOST_CHECKS):
                    for value in domain.extremes:
                        try:
                            check({**values, path: value})
                        except RecipeError as error:
                            raise RecipeError(f"{path} of the space: {error}") from None

    def _cases(self, when: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
        """Yields the values under which a domain is searched, those it hangs on included."""
        for values in itertools.product(*when.values()):
            case = dict(zip(when, values, strict=True))
            above = {p: v for path in when for p, v in self.domains[path][0].when.items()}
            open_above = {p: v for p, v in above.items() if p not in case}
            for more in self._cases(open_above) if open_above else [{}]:
                yield {**more, **case}

    def in_order(self) -> list[str]:
        """Returns the paths, each behind those its conditions name.

        Raises:
            RecipeError: A condition names what is not searched, a value that is not
                among the choices, or itself in the end.
        """
        ordered: list[str] = []

        def put(path: str, below: tuple[str, ...]) -> None:
            if path in below:
                raise RecipeError(f"{path} of the space is searched only when it is searched")
            if path in ordered:
                return
            for domain in self.domains[path]:
                for parent, values in domain.when.items():
                    self._check_condition(path, parent, values)
                    put(parent, (*below, path))
            ordered.append(path)

        for path in self.domains:
            put(path, ())
        return ordered

    def _check_condition(self, path: str, parent: str, values: Any) -> None:
        if parent not in self.domains:
            raise RecipeError(
                f"{path} of the space depends on {parent}, which is not searched",
                expected=f"when to name one of {', '.join(p for p in self.domains if p != path)}",
            )
        cases = self.domains[parent]
        choice = cases[0].choice
        if choice is None or len(cases) > 1:
            raise RecipeError(
                f"{path} of the space depends on {parent}, which is no single choice",
                mend=f"give {parent} a list of values",
            )
        if not isinstance(values, (list, tuple)) or not values:
            raise RecipeError(
                f"{path} of the space depends on {parent}",
                expected="a list of values, such as " + json.dumps(list(choice)),
                received=repr(values),
            )
        known = [json.dumps(value) for value in choice]
        for value in values:
            if json.dumps(value) not in known:
                raise RecipeError(
                    f"{path} of the space depends on a value that {parent} never has",
                    expected=", ".join(known),
                    received=json.dumps(value),
                )

    def build_hyperparameters(self) -> Any:
        """Returns the space as `keras_tuner.HyperParameters`.

        A choice is kept as JSON text, since KerasTuner knows no lists.
        """
        import keras_tuner
        from keras_tuner.engine import hyperparameters as kinds
        from keras_tuner.src.engine.conditions import Parent

        result = keras_tuner.HyperParameters()
        for path in self.in_order():
            for name, domain in zip(self._names(path), self.domains[path], strict=True):
                when = [
                    Parent(parent, [json.dumps(value) for value in values])
                    for parent, values in domain.when.items()
                ]
                if domain.choice is not None:
                    texts = [json.dumps(value) for value in domain.choice]
                    one = len(texts) == 1
                    hp = (
                        kinds.Fixed(name, texts[0], conditions=when)
                        if one
                        else kinds.Choice(name, texts, conditions=when)
                    )
                else:
                    kind = kinds.Int if domain.is_whole else kinds.Float
                    sampling = "log" if domain.log else "linear"
                    ends = domain.min, domain.max
                    hp = kind(name, *ends, step=domain.step, sampling=sampling, conditions=when)
                result.merge([hp])
        return result

    def values_of(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what KerasTuner drew as settings of a recipe.

        Args:
            hyperparameters: From a hyperparameter's name to its value; active ones alone.

        Returns:
            From path to value, in the order of the space.
        """
        values = {}
        for path, domains in self.domains.items():
            for name, domain in zip(self._names(path), domains, strict=True):
                if name in hyperparameters:
                    value = hyperparameters[name]
                    if domain.choice is not None:
                        values[path] = json.loads(value)
                    else:  # some are NumPy's
                        values[path] = int(value) if domain.is_whole else float(value)
        return values

    def _names(self, path: str) -> list[str]:
        """What a setting is called in KerasTuner: each of several cases has its own name."""
        count = len(self.domains[path])
        return [path] if count == 1 else [f"{path}, case {i}" for i in range(1, count + 1)]

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values: by path, whether it is searched logarithmically, and the cases."""
        return {
            path: {
                "log": any(domain.log for domain in domains),
                "cases": [d.model_dump(mode="json", exclude_defaults=True) for d in domains],
            }
            for path, domains in self.domains.items()
        }


def _is_domain(value: Any) -> bool:
    return isinstance(value, Mapping) and not {"choice", "min", "max"}.isdisjoint(value)


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields what stands where a recipe has a value."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and not _is_domain(value):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _flat(conditions: Any) -> Any:
    """Turns `{penalty = {name = [...]}}`, as TOML reads a dotted key, to dotted paths."""
    return dict(_leaves(conditions)) if isinstance(conditions, Mapping) else conditions
