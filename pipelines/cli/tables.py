"""The tables of `zoo list`: where each is defined, and which columns show it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.table import Table, unknown_name

Column = str | Callable[[Any], object]
"""An attribute of a row, or a function of a row."""


@dataclass(frozen=True)
class TableEntry:
    """One table, loaded only when it is shown.

    Args:
        module: Module that defines it.
        attribute: Its name there.
        columns: By title, the columns between a row's name and its summary.
        json_only: Columns too wide for a terminal, which `--json` alone shows.
    """

    module: str
    attribute: str
    columns: Mapping[str, Column] = field(default_factory=dict)
    json_only: frozenset[str] = frozenset()

    def load(self) -> Table[Any]:
        """Imports the table."""
        table: Table[Any] = getattr(importlib.import_module(self.module), self.attribute)
        return table

    def rows(self) -> list[dict[str, object]]:
        """Returns the rows as JSON values, by column."""
        return [
            {
                "name": row.name,
                **{title: _value(row, column) for title, column in self.columns.items()},
                "summary": row.summary,
            }
            for row in self.load().values()
        ]


def _value(row: Any, column: Column) -> object:
    return getattr(row, column) if isinstance(column, str) else column(row)


def _yes_or_no(attribute: str) -> Callable[[Any], str]:
    return lambda row: "yes" if getattr(row, attribute) else "no"


def _tags(row: Any) -> str:
    return ", ".join(weights.name.partition(".")[2] for weights in row.weights)


def _top1(row: Any) -> float | None:
    return next((weights.top1 for weights in row.weights if weights.top1 is not None), None)


def _licenses(row: Any) -> str:
    return ", ".join(sorted({weights.license for weights in row.weights}))


def _defaults(row: Any) -> str:
    shorthand = importlib.import_module("pipelines.augment.shorthand")
    text: str = shorthand.format_defaults(row.operation)
    return text


_PAPER = {"paper": "paper"}

TABLES: Mapping[str, TableEntry] = {
    "backbones": TableEntry(
        "zoo.backbones.catalog",
        "BACKBONES",
        {
            "weights": _tags,
            "input": "input_size",
            "parameters": "num_parameters",
            "features": "num_features",
            "top1": _top1,
            "license": _licenses,
            "paper": "paper",
        },
        json_only=frozenset({"paper"}),
    ),
    "weights": TableEntry(
        "zoo.backbones.catalog",
        "WEIGHTS",
        {
            "license": "license",
            "data": "data",
            "input": "input_size",
            "normalization": "normalization",
            "top1": "top1",
            "top": _yes_or_no("has_top"),
            "proof": "proof",
            "file": "file",
            "url": "url",
            "origin": "origin",
        },
        # The summary repeats other columns.
        json_only=frozenset({"url", "normalization", "origin", "summary"}),
    ),
    "kerashub": TableEntry(
        "zoo.backbones.kerashub.families", "FAMILIES", _PAPER, json_only=frozenset(_PAPER)
    ),
    "sources": TableEntry("pipelines.sources.listing.catalog", "SOURCES"),
    "engines": TableEntry(
        "pipelines.features.engines.catalog",
        "ENGINES",
        {"installed": _yes_or_no("installed"), "extra": "extra"},
    ),
    "formats": TableEntry(
        "zoo.export.formats",
        "FORMATS",
        {
            "quantizations": lambda row: ", ".join(row.quantizations),
            "any_size": _yes_or_no("any_size"),
            "installed": _yes_or_no("installed"),
            "extra": "extra",
        },
    ),
    "augmentations": TableEntry(
        "pipelines.augment.operations",
        "AUGMENTATIONS",
        {"stage": "stage", "defaults": _defaults, "reference": "reference"},
        json_only=frozenset({"reference"}),
    ),
    "policies": TableEntry("pipelines.augment.policies", "POLICIES", {"operations": "operations"}),
    "heads": TableEntry("pipelines.recipe.presets", "HEADS"),
    "symmetries": TableEntry("zoo.models.symmetry", "SYMMETRIES", {"views": "num_views"}),
    "poolings": TableEntry("zoo.heads.head", "POOLINGS"),
    "activations": TableEntry(
        "zoo.heads.activations", "ACTIVATIONS", _PAPER, json_only=frozenset(_PAPER)
    ),
    "initializers": TableEntry(
        "zoo.heads.initializers", "INITIALIZERS", _PAPER, json_only=frozenset(_PAPER)
    ),
    "optimizers": TableEntry(
        "tuning.optimization.optimizers",
        "OPTIMIZERS",
        {"learning_rate": "learning_rate", "l1": _yes_or_no("step_size"), **_PAPER},
        json_only=frozenset(_PAPER),
    ),
    "schedules": TableEntry("tuning.optimization.schedules", "SCHEDULES"),
    "penalties": TableEntry("tuning.optimization.penalties", "PENALTIES", {"l1": "l1", "l2": "l2"}),
    "tuners": TableEntry(
        "tuning.hyperparameters.oracles", "TUNERS", {"at_once": "batch_size", **_PAPER}
    ),
    "clippings": TableEntry("tuning.optimization.clipping", "CLIPPINGS"),
    "losses": TableEntry("tuning.optimization.losses", "LOSSES", {"task": "kind"}),
    "tasks": TableEntry("zoo.tasks", "TASK_KINDS"),
    "normalizations": TableEntry("zoo.normalization", "NORMALIZATIONS"),
    "pretraining_methods": TableEntry(
        "pipelines.recipe.pretraining", "METHODS", {"labels": _yes_or_no("labeled"), **_PAPER}
    ),
}
"""Tables by the name that `zoo list` and `transfer_zoo` give them."""


def find_table(name: str) -> TableEntry:
    """Returns the entry of a table.

    Raises:
        UnknownNameError: There is no such table.
    """
    if name not in TABLES:
        raise unknown_name("table", name, TABLES)
    return TABLES[name]
