"""Search spaces: the settings of a recipe to search, their values and their conditions.

A search space looks like a recipe with a list or a range in place of a value:

    [head]
    dropout = {min = 0.0, max = 0.7}
    hidden = [[], [128], [512]]

    [penalty]
    name = ["none", "l1", "l2"]
    l1 = {min = 1e-6, max = 1e-2, log = true, when = {"penalty.name" = ["l1"]}}

A setting whose range depends on another setting has a list of such tables, each with its
own `when`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from zoo.config import Config, first_problem
from zoo.errors import RecipeError
from zoo.private_api import build_condition
from zoo.table import unknown_name

Check = Callable[[Mapping[str, Any]], None]
"""Raises RecipeError for settings, from path to value, that make no valid recipe."""

_MAX_COMBINATIONS = 1000


class Domain(Config):
    """The values of one setting: a choice or a range, under a condition.

    Args:
        choice: The values of a choice, of any type that a recipe can hold.
        min: The lower end of a range. Integers make a range of integers.
        max: The upper end, included.
        step: The distance between values of the range; left out, the range is continuous.
        log: Whether values are drawn uniformly in log x instead of in x.
        when: From the path of another searched setting to those of its values under which
            this domain is searched. All conditions have to hold; otherwise the setting keeps
            the recipe's default.
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
                raise ValueError(f"{list(self.choice)} repeats a value")
            return self
        if low is None or high is None or low >= high:
            raise ValueError(f"expected min below max, not min = {low}, max = {high}")
        if self.log and (low <= 0 or self.step is not None):
            raise ValueError("log needs min above 0, and no step")
        if self.step is not None and not 0 < self.step <= high - low:
            raise ValueError(f"expected step above 0 and no wider than the range, not {self.step}")
        return self

    @property
    def is_integer(self) -> bool:
        """Whether it is a range of integers."""
        return all(isinstance(n, int) for n in (self.min, self.max, self.step) if n is not None)

    @property
    def extremes(self) -> Sequence[Any]:
        """Every choice, or both ends of a range."""
        return self.choice if self.choice is not None else (self.min, self.max)


class SearchSpace(Config):
    """The settings to search.

    Args:
        domains: From the path of a setting to its domains, one for each condition.
    """

    domains: Mapping[str, Sequence[Domain]]

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], searchable: Collection[str], check: Check
    ) -> SearchSpace:
        """Builds a search space and checks all of its values.

        Args:
            settings: The contents of a space file.
            searchable: The paths of the settings that can be searched.
            check: Receives each choice and both ends of each range, together with values
                under which they are searched.

        Raises:
            RecipeError: A value does not fit its setting, or a condition cannot hold.
            UnknownNameError: A path is not searchable.

        Example:
            >>> settings = {"head": {"dropout": {"min": 0.0, "max": 0.5}}}
            >>> list(SearchSpace.from_settings(settings, ["head.dropout"], print).domains)
            {'head.dropout': 0.0}
            {'head.dropout': 0.5}
            ['head.dropout']
        """
        domains: dict[str, list[Domain]] = {}
        for path, leaf in _flatten(settings):
            if path not in searchable:
                raise unknown_name("setting to search", path, searchable)
            if isinstance(leaf, list) and leaf and all(map(_is_domain, leaf)):
                tables = leaf
            else:
                tables = [leaf if isinstance(leaf, Mapping) else {"choice": leaf}]
            try:
                domains[path] = [
                    Domain.model_validate(
                        {**table, "when": _flatten_conditions(table.get("when", {}))}
                    )
                    for table in tables
                ]
            except ValidationError as error:
                problem = first_problem(error)
                where = ".".join([path, *problem.path])
                raise RecipeError(f"{where} of the space does not fit: {problem.message}") from None
        if not domains:
            raise RecipeError("the space is empty", expected="a setting to search")
        space = cls(domains=domains)
        space._check(check)
        return space

    def _check(self, check: Check) -> None:
        for path in self.sorted_paths():
            for domain in self.domains[path]:
                combinations = self._parent_values(domain.when)
                for values in itertools.islice(combinations, _MAX_COMBINATIONS):
                    for value in domain.extremes:
                        try:
                            check({**values, path: value})
                        except RecipeError as error:
                            raise RecipeError(f"{path} of the space: {error}") from None

    def _parent_values(self, when: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
        """Yields the combinations of a condition's settings, and of those they depend on."""
        for values in itertools.product(*when.values()):
            parents = dict(zip(when, values, strict=True))
            conditions = {p: v for path in when for p, v in self.domains[path][0].when.items()}
            unbound = {p: v for p, v in conditions.items() if p not in parents}
            for ancestors in self._parent_values(unbound) if unbound else [{}]:
                yield {**ancestors, **parents}

    def sorted_paths(self) -> list[str]:
        """Returns the paths in topological order: each after the settings it depends on.

        Raises:
            RecipeError: A condition names a setting that is not searched or a value that is
                not among its choices, or conditions form a cycle.
        """
        ordered: list[str] = []

        def visit(path: str, dependents: tuple[str, ...]) -> None:
            if path in dependents:
                raise RecipeError(
                    f"{path} of the space depends on itself",
                    expected="conditions that form no cycle",
                    received=" → ".join([*dependents, path]),
                    mend="remove one of these conditions",
                )
            if path in ordered:
                return
            for domain in self.domains[path]:
                for parent, values in domain.when.items():
                    self._check_condition(path, parent, values)
                    visit(parent, (*dependents, path))
            ordered.append(path)

        for path in self.domains:
            visit(path, ())
        return ordered

    def _check_condition(self, path: str, parent: str, values: Any) -> None:
        if parent not in self.domains:
            raise RecipeError(
                f"{path} of the space depends on {parent}, which is not searched",
                expected=f"when to name one of {', '.join(p for p in self.domains if p != path)}",
            )
        domains = self.domains[parent]
        choice = domains[0].choice
        if choice is None or len(domains) > 1:
            raise RecipeError(
                f"{path} of the space depends on {parent}, which is not a single choice",
                mend=f"give {parent} a list of values",
            )
        if not isinstance(values, (list, tuple)) or not values:
            raise RecipeError(
                f"{path} of the space depends on {parent}",
                expected="a list of values, such as " + json.dumps(list(choice)),
                received=repr(values),
            )
        choices = [json.dumps(value) for value in choice]
        for value in values:
            if json.dumps(value) not in choices:
                raise RecipeError(
                    f"{path} of the space depends on a value that {parent} never has",
                    expected=", ".join(choices),
                    received=json.dumps(value),
                )

    def build_hyperparameters(self) -> Any:
        """Builds the `keras_tuner.HyperParameters` of this search space.

        KerasTuner has no lists as values, so a choice is stored as JSON text.
        """
        import keras_tuner
        from keras_tuner.engine import hyperparameters as kinds

        result = keras_tuner.HyperParameters()
        for path in self.sorted_paths():
            for name, domain in zip(self._names(path), self.domains[path], strict=True):
                conditions = [
                    build_condition(parent, [json.dumps(value) for value in values])
                    for parent, values in domain.when.items()
                ]
                if domain.choice is not None:
                    texts = [json.dumps(value) for value in domain.choice]
                    hp = (
                        kinds.Fixed(name, texts[0], conditions=conditions)
                        if len(texts) == 1
                        else kinds.Choice(name, texts, conditions=conditions)
                    )
                else:
                    kind = kinds.Int if domain.is_integer else kinds.Float
                    hp = kind(
                        name,
                        domain.min,
                        domain.max,
                        step=domain.step,
                        sampling="log" if domain.log else "linear",
                        conditions=conditions,
                    )
                result.merge([hp])
        return result

    def decode(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        """Converts values of KerasTuner's hyperparameters to settings of a recipe.

        Args:
            hyperparameters: From the name of each active hyperparameter to its value.

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
                    else:  # KerasTuner returns some values as NumPy scalars.
                        values[path] = int(value) if domain.is_integer else float(value)
        return values

    def _names(self, path: str) -> list[str]:
        """Returns the names of a setting's hyperparameters in KerasTuner, one a domain."""
        count = len(self.domains[path])
        return [path] if count == 1 else [f"{path}, case {i}" for i in range(1, count + 1)]

    def choices(self, path: str) -> tuple[Any, ...]:
        """Returns the values that a setting is chosen from, each once; () if it is not searched."""
        domains = self.domains.get(path, ())
        return tuple(dict.fromkeys(value for domain in domains for value in domain.choice or ()))

    def largest(self, path: str) -> int:
        """Returns the largest integer that a setting may have; 0 if it is not searched.

        Args:
            path: A setting whose values are integers.
        """
        values = (value for domain in self.domains.get(path, ()) for value in domain.extremes)
        return max(map(int, values), default=0)

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values: by path, whether any domain is logarithmic, and the domains."""
        return {
            path: {
                "log": any(domain.log for domain in domains),
                "cases": [d.model_dump(mode="json", exclude_defaults=True) for d in domains],
            }
            for path, domains in self.domains.items()
        }


def _is_domain(value: Any) -> bool:
    return isinstance(value, Mapping) and not {"choice", "min", "max"}.isdisjoint(value)


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields dotted paths and their values, lists and ranges being values."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and not _is_domain(value):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _flatten_conditions(conditions: Any) -> Any:
    """Turns `{penalty = {name = [...]}}`, TOML's reading of a dotted key, into dotted paths."""
    return dict(_flatten(conditions)) if isinstance(conditions, Mapping) else conditions
