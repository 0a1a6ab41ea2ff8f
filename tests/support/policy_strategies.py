"""Hypothesis strategies for augmentation policies with any valid settings."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from pipelines.augment.operations import AUGMENTATIONS


def policies(max_size: int = 4) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Lists of operations in a recipe's form, some of them a `choose`."""
    return st.lists(st.one_of(operations(), _groups()), max_size=max_size)


def operations() -> st.SearchStrategy[dict[str, Any]]:
    """One operation with some of its settings."""
    names = [name for name in AUGMENTATIONS if name != "choose"]
    return st.sampled_from(names).flatmap(_settings)


def _settings(name: str) -> st.SearchStrategy[dict[str, Any]]:
    fields = AUGMENTATIONS[name].operation.model_fields
    settings = {key: _values(field) for key, field in fields.items() if key != "name"}
    return st.fixed_dictionaries({"name": st.just(name)}, optional=settings)


def _values(field: FieldInfo) -> st.SearchStrategy[Any]:
    choices = getattr(field.annotation, "__args__", None)
    if choices:
        return st.sampled_from(choices)
    limits = {type(limit).__name__: limit for limit in field.metadata}
    low = limits["Ge"].ge if "Ge" in limits else limits["Gt"].gt
    high = limits["Le"].le if "Le" in limits else limits["Lt"].lt
    return st.floats(low, high, exclude_min="Gt" in limits, exclude_max="Lt" in limits)


@st.composite
def _groups(draw: st.DrawFn) -> dict[str, Any]:
    members = draw(st.lists(operations(), min_size=1, max_size=3))
    count = draw(st.integers(1, len(members)))
    return {"name": "choose", "count": count, "operations": members}
